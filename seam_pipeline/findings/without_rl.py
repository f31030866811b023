"""DPO on the same preference pairs: what there is without a reward model and RL."""

from collections.abc import Mapping

import pyarrow as pa

from seam_pipeline.report.charts import Series, ladder
from seam_pipeline.report.figures import Figure

from ._finding import Finding, Table
from ._format import number
from ._length_control import compare_at_equal_length, controlled_table, equal_length_row, for_seeds_of
from ._statistics import Interval, difference_interval, effect_text, mean_interval
from ._tables import Cell, by_id, count_nulls, judge_caveats, paired, rating_label, ratings, small_sample

BEST = (1, 1)


def without_rl(
    tuned: Mapping[int, pa.Table], before: Mapping[int, pa.Table], after_rl: Mapping[Cell, pa.Table]
) -> Finding:
    """Mean rating per policy rank before (ANSWERS), after DPO, and after RL against the same rank's reward model.

    The differences on the best rank are paired over questions, means over RL's seeds.
    """
    ranks = sorted(tuned)
    rated = {rank: by_id([ratings(tuned[rank])]) for rank in ranks}
    plain = {rank: by_id([ratings(before[rank])]) for rank in ranks}
    rl = {rank: by_id([ratings(after_rl[rank, rank])]) for rank in ranks if (rank, rank) in after_rl}
    best = ranks[0]
    gain = _difference(rated[best], plain[best])
    against = _difference(rl[best], rated[best]) if best in rl else Interval(None, None, None, 0)
    means = {rank: tuple(mean_interval(list(s.get(rank, {}).values())) for s in (plain, rated, rl)) for rank in ranks}
    tables = [*tuned.values(), *before.values(), *after_rl.values()]
    names = ("SFT", "DPO", "RL, same rank")
    panel = ladder(
        "without-rl",
        [str(rank) for rank in reversed(ranks)],
        [Series(name, [means[rank][i] for rank in reversed(ranks)]) for i, name in enumerate(names)],
        x_label="policy rank (1 is the best)",
        y_label=rating_label(tables),
        title="Quality with and without RL",
    )
    n = min(means[rank][1].n for rank in ranks)
    answer = _answer(gain, against)
    return Finding(
        key="without_rl",
        title="Without RL",
        question="What do the same preference pairs give by DPO, without a reward model and RL?",
        answer=answer,
        figure=Figure((panel,), f"Mean rating with 95% intervals by policy rank. {answer}"),
        columns=("policy rank", *names, "DPO 95% CI", "n"),
        rows=tuple(
            (rank, *(m.value for m in means[rank]), means[rank][1].range_text(), means[rank][1].n) for rank in ranks
        ),
        n=n,
        interval=f"Best policy, DPO less SFT: {gain.text(signed=True)}; RL less DPO: {against.text(signed=True)}; "
        "bootstrap over paired questions.",
        paper="Not part of the paper.",
        caveats=(
            "DPO sees every train pair; the reward model of a rank saw its rank's share.",
            *judge_caveats(tables),
            *small_sample(n, "question"),
        ),
        nulls=count_nulls(tables, "rating", "answer without a rating"),
        unit="test question",
        more=_at_equal_length(tuned[best], before[best], after_rl.get((best, best))),
        numbers={"gain": gain.value, "rl_less_dpo": against.value},
    )  # fmt: skip


def _difference(a: Mapping[str, float], b: Mapping[str, float]) -> Interval:
    more, less = paired(a, b)
    return difference_interval(more - less)


def _at_equal_length(tuned: pa.Table, before: pa.Table, after_rl: pa.Table | None) -> tuple[Table, ...]:
    """DPO, which tends to longer answers, and RL, on the best policy's pair."""
    found = {"DPO less SFT": (tuned, before)}
    if after_rl is not None:
        found["RL less DPO"] = (after_rl, for_seeds_of(after_rl, tuned))
    rows = [
        equal_length_row(name, compare_at_equal_length({BEST: a}, {BEST: b})) for name, (a, b) in found.items()
    ]  # fmt: skip
    return (controlled_table("the latter, for the best policy", rows),)


def _answer(gain: Interval, against: Interval) -> str:
    moved = "raises" if (gain.value or 0) > 0 else "lowers"
    sure = "" if gain.excludes(0) else ", not separated from 0 at 95%"
    size = f"{number(gain.value, signed=True)}{effect_text(gain.dz)}"
    first = f"DPO {moved} the best policy's mean rating by {size}{sure}"
    if against.value is None:
        return f"{first}; RL was not run on its pair."
    apart = "" if against.excludes(0) else ", not separated at 95%"
    effect = effect_text(against.dz)
    return f"{first}; RL on the full set is {number(against.value, signed=True)} against it{effect}{apart}."
