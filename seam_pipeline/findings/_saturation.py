"""Is a rise flatter above some point than below it? A bent against a straight line."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ._finding import Row
from ._statistics import Array, Interval, bootstrap
from ._tables import Cell

RESAMPLES = 500
MIN_LEVELS = 4


@dataclass(frozen=True)
class Saturation:
    """Slopes of the least-squares line with one bend; `change` is slope above minus slope below, with its interval."""

    bend: float | None
    below: float | None
    above: float | None
    change: Interval

    @property
    def verdict(self) -> str:
        """Flattening, steepening, not separated, or not testable."""
        if self.bend is None or self.change.low is None:
            return f"not testable (fewer than {MIN_LEVELS} levels)"
        if not self.change.excludes(0):
            return "not separated at 95%"
        return "flattening" if (self.change.value or 0) < 0 else "steepening"

    def row(self, name: str) -> Row:
        """A table row."""
        return (name, self.bend, self.below, self.above, self.change.value, self.change.range_text(), self.verdict)


def saturation(scored: Mapping[Cell, Mapping[str, float]], x_of: Mapping[Cell, float | None]) -> Saturation:
    """Fit mean rating per cell on x with one bend at the inner level of x that fits best.

    The interval resamples instructions (those that every cell rated) and fits anew, the bend included. Fewer than
    MIN_LEVELS distinct x or two instructions: not testable.
    """
    cells = [cell for cell in scored if x_of.get(cell) is not None and scored[cell]]
    x = np.array([x_of[cell] for cell in cells], dtype=np.float64)
    levels = np.unique(x)
    shared = sorted(set.intersection(*(set(scored[cell]) for cell in cells))) if cells else []
    if len(levels) < MIN_LEVELS or len(shared) < 2:
        return Saturation(None, None, None, Interval(None, None, None, len(shared)))
    ratings = np.array([[scored[cell][i] for cell in cells] for i in shared])
    designs = [_design(x, bend) for bend in levels[1:-1]]

    def change(rows: Array) -> Array:
        means = ratings[rows.astype(int)].mean(axis=1)
        return np.array([_fit(designs, y)[1][2] for y in means])

    interval = bootstrap(change, np.arange(len(shared), dtype=np.float64), resamples=RESAMPLES)
    best, (_, below, delta) = _fit(designs, ratings.mean(axis=0))
    return Saturation(float(levels[1:-1][best]), below, below + delta, interval)


def _design(x: Array, bend: float) -> Array:
    return np.stack([np.ones_like(x), x, np.maximum(x - bend, 0)], axis=1)


def _fit(designs: list[Array], y: Array) -> tuple[int, tuple[float, float, float]]:
    """Index of the best bend and its (intercept, slope below, change of slope)."""
    fits = [np.linalg.lstsq(design, y, rcond=None)[0] for design in designs]
    errors = [float(((design @ beta - y) ** 2).sum()) for design, beta in zip(designs, fits, strict=True)]
    best = int(np.argmin(errors))
    a, b, c = (float(value) for value in fits[best])
    return best, (a, b, c)
