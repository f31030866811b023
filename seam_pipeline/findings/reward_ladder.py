"""Reward-model accuracy against preference pairs: the other axis of the paper's Fig. 2."""

import itertools
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from seam_pipeline.report.charts import Series, ladder
from seam_pipeline.report.figures import Figure

from ._accuracy import accuracy_change, accuracy_of
from ._finding import Finding, Table
from ._format import count, number
from ._statistics import Interval, effect_text
from ._tables import count_nulls, small_sample, summary_rows


def reward_ladder(
    quality_by_rank: Mapping[int, pa.Table],
    pairs_by_rank: Mapping[int, int],
    summaries: Mapping[int, Mapping[str, Any]] | None = None,
) -> Finding:
    """Share of test pairs (REWARD_QUALITY tables) on which each reward model prefers the chosen answer."""
    ranks = sorted(quality_by_rank, key=lambda rank: (pairs_by_rank[rank], rank))
    accuracy = {rank: accuracy_of(quality_by_rank[rank]) for rank in ranks}
    pairs = {rank: len(table) - table["correct"].null_count for rank, table in quality_by_rank.items()}
    best, least = accuracy[ranks[-1]], accuracy[ranks[0]]
    gain = accuracy_change([quality_by_rank[ranks[-1]]], [quality_by_rank[ranks[0]]])
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
    answer = _answer(pairs_by_rank, ranks, least, best, gain, rising)
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
                pairs[r],
                accuracy[r].n,
            )
            for r in ranks
        ),
        n=min(accuracy[rank].n for rank in ranks),
        interval=f"Accuracy with the most pairs: {best.text(1, percent=True)}; less that with the fewest: "
        f"{gain.text(1, signed=True, percent=True)}; bootstrap over questions, whose pairs are not independent.",
        paper="66.1% for LLaMA2-7B's best reward model, 66.9% for 13B, 67.6% for 70B (Table 2, whose two quality "
        "columns look swapped).",
        caveats=(
            "Reward model k is built on policy k: along the ladder both its pairs and its starting point change.",
            *small_sample(best.n, "question"),
        ),
        nulls=count_nulls(quality_by_rank.values(), "correct", "pair without a verdict"),
        unit="test question",
        more=() if not summaries else (Table("How each reward model's training ended", *summary_rows(summaries)),),
        headline=(number(best.value, 0, percent=True), "reward-model accuracy with the most pairs"),
        numbers={"best": best.value, "best_low": best.low, "best_high": best.high, "gain": gain.value,
                 "gain_low": gain.low, "gain_high": gain.high, "gain_dz": gain.dz, "rising": float(rising)},
    )  # fmt: skip


def _answer(
    pairs: Mapping[int, int], ranks: list[int], least: Interval, best: Interval, gain: Interval, rising: bool
) -> str:
    chance = "above chance" if best.excludes(0.5) and (best.value or 0) > 0.5 else "not separated from chance at 95%"
    if len(ranks) < 2:
        return f"One rank only: {number(best.value, 1, percent=True)} of the test pairs ({chance})."
    verdict = "not separated at 95%" if not gain.excludes(0) else "up" if (gain.value or 0) > 0 else "down"
    return (
        f"Accuracy goes from {number(least.value, 1, percent=True)} with {count(pairs[ranks[0]], 'pair')} to "
        f"{number(best.value, 1, percent=True)} with {pairs[ranks[-1]]:,} ({chance}; "
        f"{number(gain.value, 1, signed=True, percent=True)}{effect_text(gain.dz)}, {verdict}; "
        f"rising {'at every step' if rising else 'not at every step'} of {len(ranks)} ranks)."
    )
