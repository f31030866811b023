"""Online RLHF as offline cycles: does SEAM at the start of each help? Proposed in the paper's section 8."""

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from seam_pipeline.report.charts import NARROW, Series, ladder
from seam_pipeline.report.figures import Figure, Panel

from ._comparison import EFFECT, TESTS, Comparison, compare, numbers_of, rated_triples, seeds_caveat, seeds_text
from ._finding import Finding, Row, Table
from ._format import count, listing, number
from ._length_control import LengthControlled, by_length_alone, compare_at_equal_length, equal_length_table
from ._names import drawn_once, in_order, method_name, style_of
from ._statistics import Interval, effect_text, holm, mean_interval
from ._tables import by_id, columns, count_nulls, judge_caveats, rating_label, ratings, small_sample
from .truth import mismatch_of_samples

OFFLINE = "offline"
PAIR = (1, 1)


class CycleTables(NamedTuple):
    """One cycle of one method, seeds in a column: SEAM_SCORES, SELECTED, own answers (`reward`, `rating`), ANSWERS."""

    scores: pa.Table
    selected: pa.Table
    answers: pa.Table
    quality: pa.Table


class Stage(NamedTuple):
    """What a cycle came to; `seam` of the pair that it starts from, `mismatch` of the new policy's own answers."""

    quality: Interval
    seam: Interval
    mismatch: Interval
    kept: float
    of: int
    seeds: int
    alike: int
    """Instructions, once per seed, whose answers do not differ in rating."""


Runs = Mapping[str, Mapping[int, CycleTables]]


def cycles(runs: Runs, before: pa.Table, offline: pa.Table, form: str = "log") -> Finding:
    """Quality, mean SEAM and mismatch per cycle and method, and the last cycle against the same without SEAM.

    `runs` holds the tables by method and cycle; `before` are the ANSWERS of the policy that all start from, `offline`
    those after one run of RL with as many steps on all instructions. Intervals are over questions or instructions,
    means over seeds first.
    """
    methods = in_order(runs)
    stages = {(m, c): _stage(t, form) for m in methods for c, t in sorted(runs[m].items())}
    last = max((c for _, c in stages), default=0)
    rated = {m: rated_triples({PAIR: runs[m][last].quality}) for m in methods if last in runs[m]}
    seeds = {seed for values in rated.values() for _, seed, _ in values}
    rated[OFFLINE] = {key: v for key, v in rated_triples({PAIR: offline}).items() if key[1] in seeds}
    seam = next((m for m in methods if m.startswith("seam_")), None)
    rivals = [m for m in ("full", "random", OFFLINE) if seam and rated.get(m)]
    found = [(rival, compare(str(seam), rated[str(seam)], rated[rival])) for rival in rivals]
    adjusted = holm([one.questions.p for _, one in found])
    start = mean_interval(list(by_id([ratings(before)]).values()))
    end = mean_interval(list(by_id([{key[1:]: v for key, v in rated[OFFLINE].items()}]).values()))
    tables = [t for m in methods for t in runs[m].values()]
    answers = [t.quality for t in tables]
    alike = sum(stage.alike for stage in stages.values())
    length = _at_equal_length(seam, last, runs, offline, seeds)
    answer = _answer(seam, last, found, adjusted, stages)
    n = min((s.quality.n for s in stages.values()), default=0)
    return Finding(
        key="cycles",
        title="Section 8: cycles",
        question="As a series of offline cycles, does online RLHF gain from SEAM at the start of each?",
        answer=answer,
        figure=Figure(
            (
                _panel(methods, stages, last, "quality", start, rating_label(answers), "Quality after each cycle"),
                _panel(methods, stages, last, "mismatch", None, "share of pairs misordered", "Mismatch of own answers"),
            ),
            f"Lines over cycles, one per method. {answer}",
            "Means over seeds; 95% intervals over questions (left) and instructions (right). 0: the policy before.",
        ),
        columns=("cycle", "method", "rating", "95% CI", "n", "seeds", "mean SEAM", "SEAM's 95% CI", "kept", "mismatch",
                 "mismatch's 95% CI"),
        rows=(
            (0, "before RL", start.value, start.range_text(), start.n, 1, *(None,) * 5),
            *(_row(m, c, stages[m, c]) for c in range(1, last + 1) for m in methods),
            (last, "one offline run of as many steps", end.value, end.range_text(), end.n, len(seeds), *(None,) * 5),
        ),
        n=n,
        interval="; ".join(f"{_name(rival)}: {one.difference.text(signed=True)}" for rival, one in found)
        + "; SEAM's last cycle less theirs, paired over questions.",
        paper="Proposed, not run (section 8).",
        caveats=(
            *judge_caveats(answers),
            "Each cycle sees its own segment of the instructions; a cycle's KL is to the policy that it started from.",
            "Mean SEAM is of the pair that a cycle starts from, mismatch of what its new policy writes; a refreshed "
            "reward model has another scale, so mean SEAM is comparable within a cycle only.",
            *by_length_alone(length),
            *seeds_caveat(one for _, one in found),
            *drawn_once(methods),
            *small_sample(n, "question"),
        ),
        nulls=count_nulls(answers, "rating", "answer without a rating")
        | count_nulls([t.scores for t in tables], f"seam_{form}", "score missing")
        | ({"instruction whose new answers do not differ in rating": alike} if alike else {}),
        unit="test question",
        more=(Table("The last cycle with SEAM against the others",
                    ("against", "difference", *EFFECT, *TESTS),
                    tuple((_name(rival), *one.effect(p, 2)) for (rival, one), p in zip(found, adjusted, strict=True))),
              *equal_length_table(length, "the others, of the last cycle with SEAM")),
        numbers={f"quality_{m}_{c}": s.quality.value for (m, c), s in stages.items()}
        | {f"mismatch_{m}_{c}": s.mismatch.value for (m, c), s in stages.items()}
        | numbers_of([(f"seam_against_{rival}", one) for rival, one in found], adjusted),
    )  # fmt: skip


def _stage(tables: CycleTables, form: str) -> Stage:
    selected = tables.selected
    seeds = len(selected["seed"].unique())
    mismatches: dict[tuple[int, str], float | None] = {}
    for seed in tables.answers["seed"].unique().to_pylist():
        own = tables.answers.filter(pc.equal(tables.answers["seed"], seed))
        mismatches |= {(seed, i): m for i, m in columns(mismatch_of_samples(own), "id", "mismatch")}
    known = {key: m for key, m in mismatches.items() if m is not None}
    scored = {(s, i): v for s, i, v in columns(tables.scores, "seed", "id", f"seam_{form}") if v is not None}
    return Stage(
        mean_interval(list(by_id([ratings(tables.quality)]).values())),
        mean_interval(list(by_id([scored]).values())),
        mean_interval(list(by_id([known]).values())),
        sum(selected["kept"].to_pylist()) / max(1, seeds),
        selected.num_rows // max(1, seeds),
        seeds,
        len(mismatches) - len(known),
    )


def _row(method: str, cycle: int, stage: Stage) -> Row:
    quality, seam, mismatch = stage.quality, stage.seam, stage.mismatch
    return (
        cycle,
        method_name(method),
        quality.value,
        quality.range_text(),
        quality.n,
        stage.seeds,
        seam.value,
        seam.range_text(),
        f"{stage.kept:g} of {stage.of}",
        number(mismatch.value, 0, percent=True),
        mismatch.range_text(0, percent=True),
    )


def _name(rival: str) -> str:
    names = {"full": "the same cycles on all instructions", "random": "the same cycles with a random selection"}
    return names.get(rival, "one offline run on all instructions")


def _at_equal_length(
    seam: str | None, last: int, runs: Runs, offline: pa.Table, seeds: set[int]
) -> dict[str, LengthControlled]:
    """The last cycle with SEAM against each rival where the answers are equally long."""
    if seam is None or last not in runs[seam]:
        return {}
    same = offline.filter(pc.is_in(offline["seed"], value_set=pa.array(sorted(seeds), offline["seed"].type)))
    rivals = {m: runs[m][last].quality for m in ("full", "random") if m in runs and last in runs[m]} | {OFFLINE: same}
    ours = {PAIR: runs[seam][last].quality}
    return {f"against {_name(rival)}": compare_at_equal_length(ours, {PAIR: t}) for rival, t in rivals.items()}


def _panel(
    methods: list[str], stages: Mapping[tuple[str, int], Stage], last: int, field: str, start: Interval | None,
    y_label: str, title: str,
) -> Panel:  # fmt: skip
    lines = [
        Series(method_name(m), [start, *(getattr(stages[m, c], field) for c in range(1, last + 1))], style_of(m))
        for m in methods
    ]
    ticks = [str(c) for c in range(last + 1)]
    return ladder(f"cycles-{field}", ticks, lines, x_label="cycle", y_label=y_label, title=title, size=NARROW,
                  percent=field == "mismatch")  # fmt: skip


def _answer(
    seam: str | None, last: int, found: list[tuple[str, Comparison]], adjusted: list[float | None],
    stages: Mapping[tuple[str, int], Stage],
) -> str:  # fmt: skip
    if seam is None or not found:
        return "No cycle with SEAM has a rival on the same seeds and questions: nothing to compare."
    parts = []
    for (rival, one), p in zip(found, adjusted, strict=True):
        sure = "separated over questions" if one.clear(p) else "not separated at 95%"
        change, effect = number(one.difference.value, signed=True), effect_text(one.difference.dz)
        parts.append(f"{change} against {_name(rival)} ({sure}{effect})")
    return (
        f"After {count(last, 'cycle')} {method_name(seam)} rates {number(stages[seam, last].quality.value)}: "
        f"{listing(parts)}; {seeds_text({_name(rival): one for rival, one in found})}."
    )
