"""Intervals and tests. Units are instructions or seeds; what cannot be tested says so and has no p-value."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ._format import number

Array = NDArray[np.float64]
LEVEL = 0.95
RESAMPLES = 2000
MAX_UNITS = 18
FLIPS = 99_999
_CHUNK = 2_000_000


class Interval(NamedTuple):
    """An estimate with its 95% interval over `n` units; None where there are too few units."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    dz: float | None = None
    """Where the estimate is of paired differences: their effect size, Cohen's d_z over the same units."""

    def excludes(self, point: float) -> bool:
        """Whether the interval exists and lies on one side of `point`."""
        return self.low is not None and self.high is not None and not self.low <= point <= self.high

    def scaled(self, factor: float) -> "Interval":
        """Value and ends times a positive factor."""
        value, low, high = (None if v is None else factor * v for v in (self.value, self.low, self.high))
        return Interval(value, low, high, self.n, self.dz)

    def difference_cells(self, digits: int = 2, *, percent: bool = False) -> tuple[str, str, str]:
        """Cells of a table of paired differences: the mean, its 95% interval, d_z."""
        value = number(self.value, digits, signed=True, percent=percent)
        return value, self.range_text(digits, signed=True, percent=percent), number(self.dz, signed=True)

    def range_text(self, digits: int = 2, *, signed: bool = False, percent: bool = False) -> str:
        """`1.20 to 1.80`, or `no interval`."""
        if self.low is None or self.high is None:
            return "no interval"
        ends = (number(end, digits, signed=signed, percent=percent) for end in (self.low, self.high))
        return " to ".join(ends)

    def text(self, digits: int = 2, *, signed: bool = False, percent: bool = False) -> str:
        """`1.50 (95% CI 1.20 to 1.80)`; of paired differences `+0.50 (95% CI 0.20 to 0.80, d_z +0.31)`."""
        value = number(self.value, digits, signed=signed, percent=percent)
        ends = self.range_text(digits, signed=signed, percent=percent)
        return f"{value} ({'' if self.low is None else '95% CI '}{ends}{effect_text(self.dz)})"


class Significance(NamedTuple):
    """A two-sided test of paired differences; `p` is None when there is nothing to test, `dz` their effect size."""

    p: float | None
    n: int
    text: str
    dz: float | None = None


def bootstrap(
    statistic: Callable[..., Array], *columns: Sequence[float] | Array, seed: int = 0, resamples: int = RESAMPLES
) -> Interval:
    """Percentile bootstrap over rows.

    `columns` share their length n (one row per unit); `statistic` maps arrays [B, n] to [B]. No interval for n < 2 or
    when more than 5% of the resamples leave the statistic undefined (NaN).
    """
    data = [np.asarray(column, dtype=np.float64) for column in columns]
    n = len(data[0])
    if n == 0:
        return Interval(None, None, None, 0)
    value = float(statistic(*(column[None, :] for column in data))[0])
    if np.isnan(value):
        return Interval(None, None, None, n)
    if n < 2:
        return Interval(value, None, None, n)
    rng = np.random.default_rng(seed)
    draws: list[Array] = []
    for start in range(0, resamples, max(1, _CHUNK // n)):
        size = min(max(1, _CHUNK // n), resamples - start)
        rows = rng.integers(0, n, size=(size, n))
        draws.append(statistic(*(column[rows] for column in data)))
    drawn = np.concatenate(draws)
    if np.isnan(drawn).mean() > 0.05:
        return Interval(value, None, None, n)
    low, high = np.nanpercentile(drawn, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Interval(value, float(low), float(high), n)


def mean_rows(values: Array) -> Array:
    """Mean of each row."""
    return np.asarray(values.mean(axis=-1))


def ratio_rows(numerators: Array, denominators: Array) -> Array:
    """Sum of numerators over sum of denominators, per row."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(numerators.sum(axis=-1) / denominators.sum(axis=-1))


def spearman_rows(x: Array, y: Array) -> Array:
    """Spearman's rank correlation of each row; NaN where one side is constant."""
    a, b = (stats.rankdata(side, axis=-1) for side in (x, y))
    a, b = (side - side.mean(axis=-1, keepdims=True) for side in (a, b))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((a * b).sum(axis=-1) / np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1)))


def auc_rows(positive: Array, score: Array) -> Array:
    """Probability that a positive (1) outranks a negative (0), ties half, per row; NaN with one class only."""
    ranks = stats.rankdata(score, axis=-1)
    n1 = positive.sum(axis=-1)
    n0 = positive.shape[-1] - n1
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(((ranks * positive).sum(axis=-1) - n1 * (n1 + 1) / 2) / (n1 * n0))


def mean_interval(values: Sequence[float] | Array, seed: int = 0) -> Interval:
    """Mean with a bootstrap interval over units."""
    return bootstrap(mean_rows, values, seed=seed)


def spearman(x: Sequence[float] | Array, y: Sequence[float] | Array, seed: int = 0, resamples: int = 1000) -> Interval:
    """Spearman's rank correlation with a bootstrap interval over units."""
    return bootstrap(spearman_rows, x, y, seed=seed, resamples=resamples)


def difference_interval(differences: Sequence[float] | Array, seed: int = 0) -> Interval:
    """Mean of paired differences with a bootstrap interval over units, and their d_z."""
    return mean_interval(differences, seed)._replace(dz=cohen_dz(differences))


def t_interval(values: Sequence[float] | Array) -> Interval:
    """Mean with Student's interval: for a few units such as seeds, over which a bootstrap would be too narrow."""
    v = np.asarray(values, dtype=np.float64)
    if len(v) < 2:
        return Interval(float(v[0]) if len(v) else None, None, None, len(v))
    half = float(stats.t.ppf(0.5 + LEVEL / 2, len(v) - 1) * v.std(ddof=1) / np.sqrt(len(v)))
    return Interval(float(v.mean()), float(v.mean()) - half, float(v.mean()) + half, len(v))


def wilson(successes: int, n: int) -> Interval:
    """A proportion with Wilson's interval."""
    if n == 0:
        return Interval(None, None, None, 0)
    ends = stats.binomtest(successes, n).proportion_ci(confidence_level=LEVEL, method="wilson")
    return Interval(successes / n, float(ends.low), float(ends.high), n)


def wilcoxon(differences: Sequence[float] | Array) -> Significance:
    """Wilcoxon's signed-rank test over paired units (Pratt's handling of zeros)."""
    d = np.asarray(differences, dtype=np.float64)
    if len(d) < 2:
        return Significance(None, len(d), "not testable")
    p = 1.0 if not d.any() else float(stats.wilcoxon(d, zero_method="pratt").pvalue)
    return Significance(p, len(d), p_text(p), cohen_dz(d))


def sign_flip(differences: Sequence[float] | Array, unit: str = "seed") -> Significance:
    """Exact paired permutation test of a zero mean over a few units (all sign flips).

    Fewer than two units: not testable. The text names d_z and the smallest p that so few units can reach, 2 / 2^n.
    More than MAX_UNITS: FLIPS random ones instead of all, which double with each unit.
    """
    d = np.asarray(differences, dtype=np.float64)
    n = len(d)
    if n < 2:
        return Significance(None, n, f"not testable ({n} {unit}{'' if n == 1 else 's'})")
    result = stats.permutation_test(
        (d,),
        lambda x, axis: np.mean(x, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf if n <= MAX_UNITS else FLIPS,
        rng=np.random.default_rng(0),
    )
    p = float(result.pvalue)
    dz, floor = cohen_dz(d), 2.0 / 2**n
    text = f"{p_text(p)} over {n} {unit}s{effect_text(dz)}" + (f"; at best {floor:.2g}" if floor > 0.05 else "")
    return Significance(p, n, text, dz)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment; None stays None and does not count as a comparison."""
    order = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for step, (p, i) in enumerate(order):
        running = max(running, min(1.0, p * (len(order) - step)))
        adjusted[i] = running
    return adjusted


def p_text(p: float | None) -> str:
    """`p = 0.031`, `p < 0.001` or `not testable`."""
    if p is None:
        return "not testable"
    return "p < 0.001" if p < 0.001 else f"p = {p_number(p)}"


def p_number(p: float | None) -> str:
    """`0.031`, `< 0.001`, or a dash, for a column of p."""
    if p is None:
        return number(None)
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def effect_text(dz: float | None) -> str:
    """`, d_z +0.31` to follow a test or an interval; nothing where it is unknown."""
    return "" if dz is None else f", d_z {number(dz, signed=True)}"


def cohen_dz(differences: Sequence[float] | Array) -> float | None:
    """Mean of paired differences over their standard deviation; None for fewer than two or without scatter."""
    d = np.asarray(differences, dtype=np.float64)
    spread = float(d.std(ddof=1)) if len(d) > 1 else 0.0
    return float(d.mean()) / spread if spread > 1e-12 else None
