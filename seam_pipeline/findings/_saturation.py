"""Does the surface flatten? A plane in policy and reward-model quality against one that bends in either."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np

from ._finding import Row, Table
from ._format import number
from ._statistics import Array, Interval, bootstrap, p_text
from ._tables import Cell

RESAMPLES = 500
SIMULATIONS = 999
MIN_LEVELS = 4
"""Distinct qualities that an axis needs to have an inner bend."""
SPARE = 2
"""Cells beyond the bent model's parameters."""
ALPHA = 0.05
AXES = ("Q_PM", "Q_RM")


@dataclass(frozen=True)
class Bend:
    """One axis of the bent surface; `change` is the slope above less the slope below, over shared questions.

    `p` is of this axis's bend beside the other's, by simulation: the scatter of cells is the noise.
    """

    axis: str
    at: float
    below: float
    above: float
    change: Interval
    p: float

    @property
    def direction(self) -> str:
        """`flattening` or `steepening` where both the interval and p say so, else `not separated at 95%`."""
        if not self.change.excludes(0) or self.p >= ALPHA:
            return "not separated at 95%"
        return "flattening" if (self.change.value or 0) < 0 else "steepening"


@dataclass(frozen=True)
class Saturation:
    """A plane (3 parameters) against a surface with a bend per testable axis (2 more each, its place included).

    `p` is of the largest F over all places of the bends, by simulation under the plane: the scatter of cells about
    it, training runs' included, is the noise. `why` says why nothing could be tested.
    """

    cells: int
    bends: tuple[Bend, ...] = ()
    parameters: int = 3
    plane_rss: float | None = None
    bent_rss: float | None = None
    bic_change: float | None = None
    """BIC of the bent surface less the plane's; below 0 the bend is worth its parameters."""
    p: float | None = None
    why: str = ""

    @property
    def flattens(self) -> tuple[str, ...]:
        """Axes along which the surface flattens: a bend that beats the plane and whose slope falls."""
        return tuple(b.axis for b in self.bends if b.direction == "flattening") if self._bent else ()

    @property
    def _bent(self) -> bool:
        return self.p is not None and self.p < ALPHA and (self.bic_change or 0) < 0

    @property
    def verdict(self) -> str:
        """What the comparison says, in words."""
        if self.p is None:
            return f"not testable ({self.why})"
        test = f"{p_text(self.p)}, BIC {number(self.bic_change, 1, signed=True)}"
        if not self._bent:
            return f"no bend found against a plane ({test})"
        if self.flattens:
            return f"flattening in {' and '.join(self.flattens)} ({test})"
        if any(b.direction == "steepening" for b in self.bends):
            return f"bent but steepening, not flattening ({test})"
        return f"bent, its direction not separated at 95% ({test})"

    def tables(self) -> tuple[Table, ...]:
        """The model comparison and the slopes."""
        caption = "Saturation: a plane in Q_PM and Q_RM against a surface with one bend per axis"
        columns = ("model", "cells", "parameters", "residual sum of squares", "BIC against the plane", "p (largest F)")
        rows: tuple[Row, ...] = (
            ("plane", self.cells, 3, self.plane_rss, None, None),
            ("bent", self.cells, self.parameters, self.bent_rss, self.bic_change,
             self.verdict if self.p is None else p_text(self.p)),
        )  # fmt: skip
        slopes = tuple(
            (b.axis, b.at, b.below, b.above, b.change.value, b.change.range_text(), p_text(b.p), b.direction)
            for b in self.bends
        )
        names = ("axis", "bend at", "slope below", "slope above", "change", "95% CI", "p", "direction")
        return (
            Table(caption, columns, rows),
            *((Table("Slopes of the bent surface", names, slopes),) if slopes else ()),
        )

    def numbers(self) -> dict[str, float | None]:
        """`bend_p`, `bic_change`, `bent` (1: the bend beats the plane, 0: not).

        Per axis `q_pm_change` with `_low`, `_high`, `_p` and `_n`, the cells.
        """
        found: dict[str, float | None] = {"bend_p": self.p, "bic_change": self.bic_change, "cells": self.cells}
        found["bent"] = None if self.p is None else float(self._bent)
        for bend in self.bends:
            name = f"{bend.axis.lower()}_change"
            found |= {name: bend.change.value, f"{name}_low": bend.change.low, f"{name}_high": bend.change.high}
            found |= {f"{name}_p": bend.p, f"{name}_n": self.cells}
        return found


def saturation(
    scored: Mapping[Cell, Mapping[str, float]], q_pm: Mapping[Cell, float | None], q_rm: Mapping[Cell, float | None]
) -> Saturation:
    """Fit the mean rating per cell on both qualities, as a plane and bent at inner levels of each axis.

    Axes with fewer than MIN_LEVELS distinct qualities get no bend. The intervals of the slopes' changes resample the
    questions that every cell rated and fit anew, the bends included. Not testable: no axis can bend, cells are fewer
    than the parameters and SPARE, or both qualities rise together so that a plane is not determined.
    """
    cells = [c for c in sorted(scored) if q_pm.get(c) is not None and q_rm.get(c) is not None and scored[c]]
    x = np.array([[q_pm[c], q_rm[c]] for c in cells], dtype=np.float64).reshape(-1, 2)
    levels = [np.unique(x[:, axis]) for axis in range(2)]
    bent = [axis for axis in range(2) if len(levels[axis]) >= MIN_LEVELS]
    parameters = 3 + 2 * len(bent)
    shared = sorted(set.intersection(*(set(scored[c]) for c in cells))) if cells else []
    why = _impossible(x, bent, parameters, len(shared))
    if why:
        return Saturation(len(cells), why=why)
    places = product(*(levels[axis][1:-1] for axis in bent))
    models = {place: design for place in places if (design := _design(x, bent, place)) is not None}
    ratings = np.array([[scored[c][i] for c in cells] for i in shared])
    y, n, designs = ratings.mean(axis=0), len(cells), list(models.values())
    plane, bent_rss = float(_rss(_plane(x), y[None])[0]), float(_bent_rss(designs, y[None]).min())
    floor = _floor(y)
    bic = n * np.log(max(bent_rss, floor) / max(plane, floor)) + 2 * len(bent) * np.log(n)
    return Saturation(
        n, _bends(models, bent, ratings), parameters, plane, bent_rss, float(bic), _p_of(_plane(x), designs, y)
    )


def _impossible(x: Array, bent: list[int], parameters: int, shared: int) -> str:
    """Why there is nothing to test; empty when there is."""
    if not bent:
        return f"{len(x)} cells, fewer than {MIN_LEVELS} levels on either axis"
    if np.linalg.matrix_rank(x - x.mean(axis=0), tol=1e-9) < 2:
        return "policy and reward-model quality rise together; run cells off the diagonal"
    if len(x) < parameters + SPARE:
        return f"{len(x)} cells for {parameters} parameters; {parameters + SPARE} are needed"
    return "" if shared >= 2 else "cells share fewer than two rated questions"


def _plane(x: Array) -> Array:
    return np.column_stack([np.ones(len(x)), x])


def _design(x: Array, bent: list[int], place: tuple[float, ...]) -> Array | None:
    """Columns 1, Q_PM, Q_RM and a hinge per bent axis; None where the cells do not determine them."""
    hinges = [np.maximum(x[:, axis] - at, 0) for axis, at in zip(bent, place, strict=True)]
    design = np.column_stack([_plane(x), *hinges])
    return design if np.linalg.matrix_rank(design) == design.shape[1] else None


def _rss(design: Array, y: Array) -> Array:
    """Residual sums of squares [B] of y [B, cells]."""
    basis = np.linalg.qr(design)[0]
    rest = y - (y @ basis) @ basis.T
    return np.asarray((rest**2).sum(axis=1))


def _bent_rss(models: list[Array], y: Array) -> Array:
    """[models, B]."""
    return np.stack([_rss(design, y) for design in models])


def _floor(y: Array) -> float:
    """Residual sums below this are rounding."""
    return 1e-12 * max(float(((y - y.mean()) ** 2).sum()), 1e-12)


def _p_of(null: Array, models: list[Array], y: Array) -> float:
    """Monte Carlo p of the least of the models' residual sums over the null design's, of y [cells].

    Under the null design with normal scatter no parameter is left open; 1 where the null fits exactly.
    """
    fitted = float(_rss(null, y[None])[0])
    if fitted <= _floor(y):
        return 1.0
    noise = np.random.default_rng(0).normal(size=(SIMULATIONS, len(y)))
    under = _bent_rss(models, noise).min(axis=0) / _rss(null, noise)
    ratio = float(_bent_rss(models, y[None]).min()) / fitted
    return float((1 + (under <= ratio).sum()) / (1 + SIMULATIONS))


def _bends(models: Mapping[tuple[float, ...], Array], bent: list[int], ratings: Array) -> tuple[Bend, ...]:
    places, designs, mean = list(models), list(models.values()), ratings.mean(axis=0)
    best = int(_bent_rss(designs, mean[None])[:, 0].argmin())
    solve = np.stack([np.linalg.pinv(design) for design in designs])

    def coefficients(y: Array) -> Array:
        """[B, columns] of the best model of each row of y [B, cells]."""
        chosen = _bent_rss(designs, y).argmin(axis=0)
        return np.asarray(np.einsum("bcn,bn->bc", solve[chosen], y))

    n, found = len(ratings), []
    for turn, axis in enumerate(bent):

        def change(rows: Array, column: int = 3 + turn) -> Array:
            times = np.stack([np.bincount(row, minlength=n) for row in rows.astype(int)])
            return coefficients(times @ ratings / rows.shape[1])[:, column]

        slope = float(solve[best][1 + axis] @ mean)
        interval = bootstrap(change, np.arange(n, dtype=np.float64), resamples=RESAMPLES)
        others = [d for p, d in models.items() if _without(p, turn) == _without(places[best], turn)]
        p = _p_of(np.delete(designs[best], 3 + turn, axis=1), others, mean)
        at = float(places[best][turn])
        found.append(Bend(AXES[axis], at, slope, slope + (interval.value or 0), interval, p))
    return tuple(found)


def _without(place: tuple[float, ...], turn: int) -> tuple[float, ...]:
    return place[:turn] + place[turn + 1 :]
