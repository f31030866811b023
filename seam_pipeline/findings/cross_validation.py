"""Policies and reward models on the three segments' test splits: the paper's Fig. 3."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from seam_pipeline.report.charts import Series, ladder
from seam_pipeline.report.figures import Figure, Panel

from ._finding import Finding, Row
from ._format import count, listing, number
from ._statistics import LEVEL, RESAMPLES, Array, Interval, bootstrap, ratio_rows
from ._tables import columns, count_nulls, judge_caveats, rating_label, small_sample

SEGMENTS = {"sft": "SFT", "preference": "preference", "rl": "RL"}
OWN = {"policy": "sft", "reward": "preference"}
"""The segment that a kind of model is trained on."""
BLOCK = 50
"""Resamples drawn at once."""
PAPER = {("policy", "rl"): "96%"}


class Measured(NamedTuple):
    """One value per (seed, question, pair or answer): ratings, or 1 and 0."""

    seed: int
    question: str
    value: float


class Compared(NamedTuple):
    """Quality on a segment, and as a share of the quality on the segment that the model was trained on."""

    quality: Interval
    ratio: Interval
    per_seed: tuple[float, ...]
    """The ratio, seed by seed."""


BySegment = Mapping[str, list[Measured]]


def cross_validation(policies: Mapping[int, pa.Table], rewards: Mapping[int, pa.Table]) -> Finding:
    """Ratings (SEGMENT_ANSWERS) and pair accuracies (SEGMENT_REWARDS) by rank, on the three segments' test splits.

    A question's values are summed over its pairs, seeds and ranks: questions are the units. The segments have other
    questions, so the ratio's interval resamples both independently.
    """
    rated = {rank: _segments(table, "id", "rating") for rank, table in sorted(policies.items())}
    judged = {rank: _segments(table, "question_id", "correct") for rank, table in sorted(rewards.items())}
    by_rank = {"policy": rated, "reward": judged}
    found = {kind: _all(ranks, OWN[kind]) for kind, ranks in by_rank.items()}
    seeds = sorted({m.seed for rank in (*rated.values(), *judged.values()) for ms in rank.values() for m in ms})
    n = min((c.quality.n for kind in found.values() for c in kind.values()), default=0)
    tables = list(policies.values())
    return Finding(
        key="cross_validation",
        title="Figure 3: cross-validation",
        question="Do policies and reward models keep their quality on the questions of the other stages?",
        answer=_answer(found, len(rated), len(judged), seeds),
        figure=_figure(rated, judged, tables),
        columns=("model", "test split", "quality", "95% CI", "of its own segment's", "its 95% CI", "per seed",
                 "questions", "the paper"),
        rows=tuple(row for kind in OWN for row in _rows(kind, "all ranks", found[kind]))
        + tuple(row for kind, ranks in by_rank.items() for rank, one in ranks.items()
                for row in _rows(kind, f"rank {rank}", compare(one, OWN[kind]))),
        n=n,
        interval=_interval(found),
        paper="The policy keeps 96% of its D_p quality on D_rl, and both stay consistent over the three test splits "
        "(Fig. 3, five models each, three seeds).",
        caveats=(
            "Policies are trained on the SFT segment, reward models on the preference segment.",
            f"Seeds {listing([str(seed) for seed in seeds])} of training on the same examples; a reward model starts "
            "from the policy of its seed. The base model is the same.",
            "An accuracy of 50% is chance: a share of it hides that part.",
            *judge_caveats(tables),
            *small_sample(n, "question"),
        ),
        nulls={**count_nulls(tables, "rating", "answer without a rating"),
               **count_nulls(rewards.values(), "correct", "pair without a verdict")},
        unit="test question per segment",
        headline=_headline(found["policy"].get("rl")),
        numbers={f"{kind}_{segment}_{name}": value for kind, one in found.items() for segment, c in one.items()
                 for name, value in (("quality", c.quality.value), ("ratio", c.ratio.value), ("low", c.ratio.low),
                                     ("high", c.ratio.high), ("n", c.ratio.n), ("ratio_seeds", len(c.per_seed)))},
    )  # fmt: skip


def compare(values: BySegment, own: str) -> dict[str, Compared]:
    """Each segment's quality, and its ratio to that of the segment `own`."""
    sums = {segment: _by_question(found) for segment, found in values.items()}
    compared = {}
    for segment in values:
        alone = segment == own or own not in values
        ratio = Interval(None, None, None, 0) if alone else ratio_of_means(sums[segment], sums[own])
        per_seed = () if alone else _per_seed(values[segment], values[own])
        compared[segment] = Compared(_quality(values[segment]), ratio, per_seed)
    return compared


def _quality(values: list[Measured]) -> Interval:
    return bootstrap(ratio_rows, *_by_question(values).T)


def ratio_of_means(ours: Array, theirs: Array, seed: int = 0) -> Interval:
    """Ratio of two means, each over its own units (rows of sum and count), with a percentile bootstrap of both."""
    n = min(len(ours), len(theirs))
    if n == 0 or not theirs[:, 0].sum():
        return Interval(None, None, None, n)
    value = _mean(ours) / _mean(theirs)
    if n < 2:
        return Interval(value, None, None, n)
    rng = np.random.default_rng(seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = _drawn_means(ours, rng) / _drawn_means(theirs, rng)
    draws = draws[np.isfinite(draws)]
    if len(draws) < 0.95 * RESAMPLES:
        return Interval(value, None, None, n)
    low, high = np.percentile(draws, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Interval(value, float(low), float(high), n)


def _drawn_means(sums: Array, rng: np.random.Generator) -> Array:
    """[RESAMPLES]: the mean of each resample of the rows."""
    blocks = [min(BLOCK, RESAMPLES - start) for start in range(0, RESAMPLES, BLOCK)]
    totals = [sums[rng.integers(0, len(sums), (block, len(sums)))].sum(axis=1) for block in blocks]
    total, number = np.concatenate(totals).T
    return np.asarray(total / number)


def _mean(sums: Array) -> float:
    total, number = sums.sum(axis=0)
    return float(total / number)


def _by_question(values: list[Measured]) -> Array:
    """[questions, 2]: sum and count of each question's values."""
    gathered: defaultdict[str, list[float]] = defaultdict(list)
    for one in values:
        gathered[one.question].append(one.value)
    return np.array([(sum(v), len(v)) for _, v in sorted(gathered.items())], dtype=np.float64).reshape(-1, 2)


def _per_seed(ours: list[Measured], theirs: list[Measured]) -> tuple[float, ...]:
    found = []
    for seed in sorted({one.seed for one in ours} & {one.seed for one in theirs}):
        a, b = (np.mean([one.value for one in side if one.seed == seed]) for side in (ours, theirs))
        if b:
            found.append(float(a / b))
    return tuple(found)


def _segments(table: pa.Table, question: str, value: str) -> dict[str, list[Measured]]:
    found: dict[str, list[Measured]] = {segment: [] for segment in SEGMENTS}
    for segment, seed, identity, one in columns(table, "segment", "seed", question, value):
        if one is not None:
            found[segment].append(Measured(seed, identity, float(one)))
    return {segment: values for segment, values in found.items() if values}


def _all(by_rank: Mapping[int, BySegment], own: str) -> dict[str, Compared]:
    """Over all ranks, each counted alike."""
    joined = {s: [m for one in by_rank.values() for m in one.get(s, ())] for s in SEGMENTS}
    return compare({segment: values for segment, values in joined.items() if values}, own)


def _rows(kind: str, name: str, found: Mapping[str, Compared]) -> list[Row]:
    percent = kind == "reward"
    digits = 1 if percent else 2
    return [
        (
            f"{'policy' if kind == 'policy' else 'reward model'}, {name}",
            SEGMENTS[segment],
            number(one.quality.value, digits, percent=percent),
            one.quality.range_text(digits, percent=percent),
            "own" if segment == OWN[kind] else number(one.ratio.value, 1, percent=True),
            "" if segment == OWN[kind] else one.ratio.range_text(1, percent=True),
            " ".join(number(ratio, 1, percent=True) for ratio in one.per_seed),
            one.quality.n,
            PAPER.get((kind, segment), "") if name == "all ranks" else "",
        )
        for segment, one in found.items()
    ]


def _figure(rated: Mapping[int, BySegment], judged: Mapping[int, BySegment], tables: list[pa.Table]) -> Figure | None:
    if not rated and not judged:
        return None
    panels = (
        _panel("cross-policy", rated, "sft", "Policies", rating_label(tables)),
        _panel("cross-reward", judged, "preference", "Reward models", "accuracy on test pairs"),
    )
    return Figure(
        panels,
        "Quality of each rank's policies and reward models on the test splits of the three segments.",
        "Means over seeds with 95% intervals over questions; * marks the segment that the models were trained on.",
    )


def _panel(name: str, by_rank: Mapping[int, BySegment], own: str, title: str, y_label: str) -> Panel:
    lines = [
        Series(f"rank {rank}", [_quality(one[s]) if s in one else None for s in SEGMENTS], rank - 1)
        for rank, one in by_rank.items()
    ]
    positions = [f"{label}{'*' if segment == own else ''}" for segment, label in SEGMENTS.items()]
    reference = (0.5, "chance") if own == "preference" else None
    return ladder(name, positions, lines, x_label="test split of the segment", y_label=y_label, title=title,
                  reference=reference, percent=own == "preference")  # fmt: skip


def _interval(found: Mapping[str, Mapping[str, Compared]]) -> str:
    parts = [
        f"{'policy' if kind == 'policy' else 'reward model'} on {SEGMENTS[segment]} {c.ratio.text(1, percent=True)}"
        for kind, one in found.items()
        for segment, c in one.items()
        if c.ratio.value is not None
    ]
    return f"Of the own segment's quality: {'; '.join(parts)}; bootstrap over the questions of both splits."


def _headline(rl: Compared | None) -> tuple[str, str] | None:
    if rl is None or rl.ratio.value is None:
        return None
    return number(rl.ratio.value, 0, percent=True), "of the policies' SFT quality on the RL questions"


def _answer(found: Mapping[str, Mapping[str, Compared]], policies: int, rewards: int, seeds: list[int]) -> str:
    kept, apart = [], []
    for kind, name in (("policy", "policies"), ("reward", "reward models")):
        others = {segment: c for segment, c in found[kind].items() if c.ratio.value is not None}
        shares = [f"{number(c.ratio.value, 1, percent=True)} on {SEGMENTS[s]}" for s, c in others.items()]
        if shares:
            kept.append(f"{name} keep {listing(shares)}")
        apart += [f"{name} on {SEGMENTS[segment]}" for segment, c in others.items() if c.ratio.excludes(1)]
    if not kept:
        return "No segment beside the models' own was measured: nothing to compare."
    same = count(policies, "rank")
    ranks = same if policies == rewards else f"{policies} policy and {count(rewards, 'reward rank')}"
    verdict = (
        f"different from 100% at 95%, uncorrected: {listing(apart)}" if apart else "none is separated from 100% at 95%"
    )
    return f"Over {ranks} and {count(len(seeds), 'seed')}, {'; '.join(kept)} of their own segment's quality; {verdict}."
