"""On the testbed: does a judge agree with the gold rating of the same answers?"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pyarrow as pa

from seam_pipeline.report.charts import Points, forest, scatter
from seam_pipeline.report.figures import Figure

from ._finding import Finding, Row
from ._format import count, number
from ._statistics import Array, Interval, bootstrap, ratio_rows, spearman_rows
from ._tables import columns, count_nulls, small_sample

GOLD = "gold"
Key = tuple[int, str]


def judge_agreement(ratings: Mapping[str, pa.Table]) -> Finding:
    """Each judge against `gold`, from JUDGE_RATINGS by judge.

    Rank correlation over all answers, mean of the rating less gold, and the share of pairs of answers to one question
    with different gold ratings that the judge orders alike (its ties: half). Questions are the units of all intervals.
    """
    gold = _by_key(ratings[GOLD])
    judges = sorted(name for name in ratings if name != GOLD)
    found = {name: _measure(_by_key(ratings[name]), gold) for name in judges}
    rows = tuple(_row(name, measured, ratings[name]) for name, measured in found.items())
    n = len({identity for _, identity in gold})
    answer = _answer(found)
    return Finding(
        key="judge_agreement",
        title="Judges against the truth",
        question="Does a judge rate as the testbed's truth does?",
        answer=answer,
        figure=_figure(found, gold, ratings, answer),
        columns=("judge", "rank correlation", "95% CI", "mean less gold", "95% CI of it", "pairs ordered alike",
                 "95% CI of them", "answers", "unrated"),
        rows=rows,
        n=n,
        interval="; ".join(f"{_short(name)}: rank correlation {m[0].text()}" for name, m in found.items())
        + "; bootstrap over questions.",
        paper="Not reported there: GPT-4 rates as in MT-Bench (C.2); its agreement with people is not measured.",
        caveats=(
            "The testbed's truth is a program's: agreement there says little about real questions.",
            "The reference judge is a proxy, similarity to the golden answer; it is always rated, whoever judges.",
            *small_sample(n, "question"),
        ),
        nulls=count_nulls(ratings.values(), "rating", "answer without a rating"),
        unit="test question",
        numbers={f"{name.split(' (')[0]}_{what}": m[k].value for name, m in found.items()
                 for k, what in enumerate(("spearman", "bias", "pairs"))},
    )  # fmt: skip


def _by_key(table: pa.Table) -> dict[Key, float]:
    return {(rank, i): r for rank, i, r in columns(table, "policy", "id", "rating") if r is not None}


def _measure(judge: Mapping[Key, float], gold: Mapping[Key, float]) -> tuple[Interval, Interval, Interval]:
    """Rank correlation, mean of judge less gold, share of pairs ordered alike."""
    ids = sorted({identity for _, identity in judge.keys() & gold.keys()})
    ranks = sorted({rank for rank, _ in gold})
    grid = np.array([[[side.get((rank, i), np.nan) for rank in ranks] for i in ids] for side in (judge, gold)])
    grid = grid.reshape(2, len(ids), len(ranks))
    known = ~np.isnan(grid).any(axis=0)
    ours, true = np.where(known, grid[0], np.nan), np.where(known, grid[1], np.nan)
    correlation = bootstrap(_spearman_of_all, ours, true, resamples=1000)
    bias = bootstrap(ratio_rows, np.nansum(ours - true, axis=1), known.sum(axis=1))
    alike, pairs = _alike(ours, true)
    return correlation, bias, bootstrap(ratio_rows, alike, pairs)


def _spearman_of_all(x: Array, y: Array) -> Array:
    """[B, questions, answers] to [B], missing answers left out."""
    found = []
    for a, b in zip(x, y, strict=True):
        known = ~np.isnan(a)
        found.append(float(spearman_rows(a[known], b[known])) if known.any() else np.nan)
    return np.array(found)


def _alike(ours: Array, true: Array) -> tuple[Array, Array]:
    """Per question: pairs with different gold ratings that the judge orders alike (ties half), and all such pairs."""
    alike, pairs = np.zeros(len(ours)), np.zeros(len(ours))
    for a, b in combinations(range(ours.shape[1]), 2):
        truth, said = true[:, a] - true[:, b], ours[:, a] - ours[:, b]
        differ = ~np.isnan(truth) & (truth != 0)
        pairs += differ
        alike += np.where(differ, np.where(said == 0, 0.5, np.sign(said) == np.sign(truth)), 0.0)
    return alike, pairs


def _short(name: str) -> str:
    """A proxy keeps being called one."""
    return name.split(":")[0] + ")" if "(proxy:" in name else name


def _row(name: str, measured: tuple[Interval, Interval, Interval], table: pa.Table) -> Row:
    correlation, bias, pairs = measured
    return (
        name,
        number(correlation.value),
        correlation.range_text(),
        number(bias.value, signed=True),
        bias.range_text(signed=True),
        number(pairs.value, 1, percent=True),
        pairs.range_text(1, percent=True),
        table.num_rows - table["rating"].null_count,
        table["rating"].null_count,
    )


def _figure(
    found: Mapping[str, tuple[Interval, Interval, Interval]],
    gold: Mapping[Key, float],
    ratings: Mapping[str, pa.Table],
    answer: str,
) -> Figure | None:
    if not found:
        return None
    groups = []
    for style, name in enumerate(found):
        theirs = _by_key(ratings[name])
        shared = sorted(theirs.keys() & gold.keys())
        groups.append(Points(_short(name), [gold[k] for k in shared], [theirs[k] for k in shared], style, faint=True))
    bars = [(_short(name), m[2].scaled(100), style) for style, (name, m) in enumerate(found.items())]
    panels = (
        scatter("judge-ratings", groups, x_label="gold rating", y_label="judge's rating", title="Same answers"),
        forest("judge-pairs", bars, x_label="pairs ordered as gold does (%)", title="Pairs of one question",
               reference=(50.0, "chance")),
    )  # fmt: skip
    return Figure(panels, f"Ratings of the same answers by a judge and by the truth. {answer}")


def _answer(found: Mapping[str, tuple[Interval, Interval, Interval]]) -> str:
    if not found:
        return "No judge besides gold rated these answers."
    parts = [
        f"{_short(name)}: rank correlation {number(correlation.value)} over {count(correlation.n, 'question')}, "
        f"{number(bias.value, signed=True)} on average, {number(pairs.value, 0, percent=True)} of pairs ordered alike"
        for name, (correlation, bias, pairs) in found.items()
    ]
    return "; ".join(parts) + "."
