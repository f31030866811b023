"""Reward-model accuracy against preference pairs: the other axis of the paper's Fig. 2."""

import itertools
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from seam_pipeline.report.charts import Series, ladder
from seam_pipeline.report.figures import Figure

from ._finding import Finding, Table
from ._format import count, number
from ._statistics import Interval, wilson
from ._tables import columns, count_nulls, summary_rows


def reward_ladder(
    quality_by_rank: Mapping[int, pa.Table],
    pairs_by_rank: Mapping[int, int],
    summaries: Mapping[int, Mapping[str, Any]] | None = None,
) -> Finding:
    """Share of test pairs (REWARD_QUALITY tables) on which each reward model prefers the chosen answer."""
    ranks = sorted(quality_by_rank, key=lambda rank: (pairs_by_rank[rank], rank))
    accuracy = {rank: accuracy_of(quality_by_rank[rank]) for rank in ranks}
    questions = {
        rank: len({i.rsplit(":", 1)[0] for i in quality_by_rank[rank].column("id").to_pylist()}) for rank in ranks
    }
    best, least = accuracy[ranks[-1]], accuracy[ranks[0]]
    rising = all((accuracy[b].value or 0) > (accuracy[a].value or 0) for a, b in itertools.pairwise(ranks))
    panel = ladder(
        "reward-ladder",
        [f"{pairs_by_rank[rank]:,}" for rank in ranks],
        [Series("reward model", [accuracy[rank] for rank in ranks], 2)],
        x_label="preference pairs (evenly spaced)",
        y_label="accuracy on test pairs",
        title="Reward-model accuracy",
        reference=(0.5, "chance"),
        percent=True,
    )
    answer = _answer(pairs_by_rank, ranks, least, best, rising)
    return Finding(
        key="reward_ladder",
        title="Reward-model quality",
        question="Do reward models get better with more preference pairs?",
        answer=answer,
        figure=Figure((panel,), f"Accuracy with 95% intervals by preference pairs. {answer}"),
        columns=("reward-model rank", "preference pairs", "accuracy", "95% CI", "test pairs", "questions"),
        rows=tuple(
            (
                r,
                pairs_by_rank[r],
                number(accuracy[r].value, 1, percent=True),
                accuracy[r].range_text(1, percent=True),
                accuracy[r].n,
                questions[r],
            )
            for r in ranks
        ),
        n=min(accuracy[rank].n for rank in ranks),
        interval=f"Accuracy with the most pairs: {best.text(1, percent=True)}, Wilson.",
        paper="66.1% for LLaMA2-7B's best reward model, 66.9% for 13B, 67.6% for 70B (Table 2, whose two quality "
        "columns look swapped).",
        caveats=(
            "Pairs of one question are counted as independent, which makes the interval a little too narrow "
            f"({count(accuracy[ranks[-1]].n, 'pair')} of {count(questions[ranks[-1]], 'question')}).",
            "Reward model k is built on policy k: along the ladder both its pairs and its starting point change.",
        ),
        nulls=count_nulls(quality_by_rank.values(), "correct", "pair without a verdict"),
        unit="test pair",
        more=() if not summaries else (Table("How each reward model's training ended", *summary_rows(summaries)),),
        headline=(number(best.value, 0, percent=True), "reward-model accuracy with the most pairs"),
        numbers={"best": best.value, "best_low": best.low, "best_high": best.high, "rising": float(rising)},
    )


def accuracy_of(quality: pa.Table) -> Interval:
    """Share of correct pairs with Wilson's interval; null verdicts are left out."""
    verdicts = [correct for (correct,) in columns(quality, "correct") if correct is not None]
    return wilson(sum(verdicts), len(verdicts))


def _answer(pairs: Mapping[int, int], ranks: list[int], least: Interval, best: Interval, rising: bool) -> str:
    chance = "above chance" if best.excludes(0.5) and (best.value or 0) > 0.5 else "not separated from chance at 95%"
    if len(ranks) < 2:
        return f"One rank only: {number(best.value, 1, percent=True)} of the test pairs ({chance})."
    overlap = least.high is not None and best.low is not None and best.low <= least.high
    apart = "the two intervals overlap" if overlap else "the two intervals do not overlap"
    return (
        f"Accuracy goes from {number(least.value, 1, percent=True)} with {count(pairs[ranks[0]], 'pair')} to "
        f"{number(best.value, 1, percent=True)} with {pairs[ranks[-1]]:,} ({chance}; {apart}; "
        f"rising {'at every step' if rising else 'not at every step'} of {len(ranks)} ranks)."
    )
