"""Policy quality against SFT data: the horizontal axis of the paper's Fig. 2."""

import itertools
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from seam_pipeline.report.charts import Series, ladder
from seam_pipeline.report.figures import Figure

from ._finding import Finding, Table
from ._format import count, number
from ._length_control import compare_at_equal_length, controlled_table, equal_length_row
from ._statistics import difference_interval, effect_text, mean_interval
from ._tables import by_id, count_nulls, judge_caveats, paired, rating_label, ratings, small_sample, summary_rows


def policy_ladder(
    answers_by_rank: Mapping[int, pa.Table],
    examples_by_rank: Mapping[int, int],
    summaries: Mapping[int, Mapping[str, Any]] | None = None,
    unit: str = "examples",
) -> Finding:
    """Mean rating of each policy rank's answers to the test questions (ANSWERS tables) by SFT `unit`.

    The gain is the difference between the most and the least trained policy, paired over questions.
    """
    ranks = sorted(answers_by_rank, key=lambda rank: (examples_by_rank[rank], rank))
    scored = {rank: by_id([ratings(answers_by_rank[rank])]) for rank in ranks}
    quality = {rank: mean_interval(list(scored[rank].values())) for rank in ranks}
    most, least = paired(scored[ranks[-1]], scored[ranks[0]])
    gain = difference_interval(most - least)
    rising = all((quality[b].value or 0) > (quality[a].value or 0) for a, b in itertools.pairwise(ranks))
    n = min(quality[rank].n for rank in ranks)
    panel = ladder(
        "policy-ladder",
        [f"{examples_by_rank[rank]:,}" for rank in ranks],
        [Series("policy", [quality[rank] for rank in ranks])],
        x_label=f"SFT {unit} (evenly spaced)",
        y_label=rating_label(answers_by_rank.values()),
        title="Policy quality",
    )
    answer = _answer(quality[ranks[0]].value, quality[ranks[-1]].value, examples_by_rank, ranks, unit, gain, rising)
    return Finding(
        key="policy_ladder",
        title="Policy quality",
        question="Do policies get better with more supervised data?",
        answer=answer,
        figure=Figure((panel,), f"Mean rating with 95% intervals by SFT {unit}. {answer}"),
        columns=("policy rank", f"SFT {unit}", "mean rating", "95% CI", "n"),
        rows=tuple((r, examples_by_rank[r], quality[r].value, quality[r].range_text(), quality[r].n) for r in ranks),
        n=n,
        interval=f"Gain from least to most: {gain.text(signed=True)}, bootstrap over paired questions.",
        paper="LLaMA2-7B's best policy rates 5.24 of 10, 13B 5.30, 70B 5.35 (Table 2, whose two quality columns look "
        "swapped); ten ranks from 0 to 10,000 examples.",
        caveats=(*judge_caveats(answers_by_rank.values()), *small_sample(n, "question")),
        nulls=count_nulls(answers_by_rank.values(), "rating", "answer without a rating"),
        unit="test question",
        more=(
            *(() if not summaries else (Table("How each policy's training ended", *summary_rows(summaries)),)),
            *_at_equal_length(answers_by_rank, ranks),
        ),
        headline=(number(quality[ranks[-1]].value), "policy quality with the most SFT data"),
        numbers={"gain": gain.value, "gain_low": gain.low, "gain_high": gain.high, "gain_dz": gain.dz,
                 "rising": float(rising)},
    )  # fmt: skip


def _at_equal_length(answers: Mapping[int, pa.Table], ranks: list[int]) -> tuple[Table, ...]:
    """Each policy against the least trained one; nothing for one rank."""
    least = {(0, 0): answers[ranks[0]]}
    rows = [
        equal_length_row(f"rank {rank}", compare_at_equal_length({(0, 0): answers[rank]}, least)) for rank in ranks[1:]
    ]
    return (controlled_table(f"rank {ranks[0]}", rows),) if rows else ()


def _answer(
    first: float | None,
    last: float | None,
    examples: Mapping[int, int],
    ranks: list[int],
    unit: str,
    gain: Any,
    up: bool,
) -> str:
    if len(ranks) < 2:
        return f"One rank only ({number(last)} of 10): nothing to compare."
    verdict = "up" if gain.excludes(0) and gain.value > 0 else "down" if gain.excludes(0) else "not separated at 95%"
    steps = "at every step" if up else "not at every step"
    return (
        f"From {examples[ranks[0]]:,} to {count(examples[ranks[-1]], unit.rstrip('s'))} the mean "
        f"rating goes from {number(first)} to {number(last)} ({number(gain.value, signed=True)}{effect_text(gain.dz)}, "
        f"{verdict}; "
        f"rising {steps} of {len(ranks)} ranks)."
    )
