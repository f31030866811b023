"""Which of several filter rates is the best one, and how sure that is."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ._statistics import RESAMPLES, Array, Interval, mean_interval
from ._tables import Cell

Rated = Mapping[tuple[Cell, int, str], float]
"""Rating by (cell, seed, question)."""


class Peak(NamedTuple):
    """Of one rate: its mean rating over the questions that all rates share, and how often it is the best one."""

    rate: float
    quality: Interval
    questions: float
    """Share of bootstrap resamples of the questions in which it has the highest mean rating; ties are divided."""
    both: float | None
    """The same with the seeds resampled too; None with one seed."""


def best_rates(rated: Mapping[float, Rated], seed: int = 0) -> list[Peak]:
    """Which rate is best, over the questions, cells and seeds that all have rated; empty without such a question."""
    keys = sorted(set.intersection(*(set(values) for values in rated.values()))) if rated else []
    seeds = sorted({key[1] for key in keys})
    grids = {rate: _grid(values, keys, seeds) for rate, values in rated.items()}
    if not keys:
        return []
    values = np.stack(list(grids.values()))  # [rates, seeds, questions]
    if not values.shape[2]:
        return []
    rng = np.random.default_rng(seed)
    n_seeds, n = values.shape[1:]
    rows = rng.integers(0, n, size=(RESAMPLES, n))
    mean = values.mean(axis=1)
    wins = _wins(np.stack([mean[:, some].mean(axis=1) for some in rows]))
    both = None
    if n_seeds > 1:
        drawn = rng.integers(0, n_seeds, size=(RESAMPLES, n_seeds))
        both = _wins(np.stack([values[:, a][:, :, b].mean(axis=(1, 2)) for a, b in zip(drawn, rows, strict=True)]))
    return [
        Peak(rate, mean_interval(mean[i]), float(wins[i]), None if both is None else float(both[i]))
        for i, rate in enumerate(grids)
    ]


def _grid(values: Rated, keys: list[tuple[Cell, int, str]], seeds: list[int]) -> Array:
    """Mean over cells, [seeds, questions]; only questions that every seed has rated."""
    sums: dict[tuple[int, str], list[float]] = {}
    for key in keys:
        sums.setdefault((key[1], key[2]), []).append(values[key])
    questions = sorted(q for q in {key[2] for key in keys} if all((s, q) in sums for s in seeds))
    return np.array([[np.mean(sums[s, q]) for q in questions] for s in seeds])


def _wins(means: Array) -> Array:
    """[resamples, rates] to each rate's share of best means."""
    best = means >= means.max(axis=1, keepdims=True) - 1e-12
    return np.asarray((best / best.sum(axis=1, keepdims=True)).mean(axis=0))
