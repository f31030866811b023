"""How well low scores foretell a real mismatch, score by score and one form against another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from scipy import stats

from ._finding import Row, Table
from ._format import number
from ._names import in_order, variant_name
from ._statistics import Array, Interval, auc_rows, bootstrap, holm, p_text, spearman
from ._tables import paired, score_map

RESAMPLES = 1000


@dataclass(frozen=True)
class Prediction:
    """One score: `auc` of low scores for a mismatch above the median, `rank` their Spearman correlation.

    `p` is Mann-Whitney's, two-sided; `holm` is it corrected over all scores of the study.
    """

    key: str
    name: str
    form: str
    auc: Interval
    rank: Interval
    p: float | None
    holm: float | None = None

    @property
    def label(self) -> str:
        """Name and form."""
        return f"{self.name} {self.form}".strip()

    @property
    def significant(self) -> bool:
        """Apart from chance after correction."""
        return self.holm is not None and self.holm < 0.05

    @property
    def right(self) -> bool:
        """A low score foretells mismatch, after correction."""
        return self.significant and (self.auc.value or 0) > 0.5

    @property
    def effect(self) -> float | None:
        """Rank-biserial correlation 2 AUC - 1, from -1 to 1."""
        return None if self.auc.value is None else 2 * self.auc.value - 1

    def row(self) -> Row:
        """A table row."""
        return (
            self.name,
            self.form or "baseline",
            self.auc.value,
            self.auc.range_text(),
            number(self.effect, signed=True),
            p_text(self.holm),
            number(self.rank.value, signed=True),
            self.rank.range_text(signed=True),
            self.auc.n,
        )

    def numbers(self) -> dict[str, float | None]:
        """`auc_KEY` with `_low`, `_high`, `_p` (Holm), `_n` and `_effect`, and `rank_KEY`."""
        auc = f"auc_{self.key}"
        return {
            auc: self.auc.value, f"{auc}_low": self.auc.low, f"{auc}_high": self.auc.high, f"{auc}_p": self.holm,
            f"{auc}_n": self.auc.n, f"{auc}_effect": self.effect, f"rank_{self.key}": self.rank.value,
        }  # fmt: skip


def predict(key: str, name: str, form: str, scored: Mapping[str, float], real: Mapping[str, float]) -> Prediction:
    """Measure one score on the instructions that have both a score and a known mismatch."""
    low, mismatch = paired({i: -s for i, s in scored.items()}, real)
    positive = above_median(mismatch)
    auc = bootstrap(auc_rows, positive, low, resamples=RESAMPLES)
    known = auc.value is not None and auc.n > 1
    p = float(stats.mannwhitneyu(low[positive == 1], low[positive == 0]).pvalue) if known else None
    return Prediction(key, name, form, auc, spearman(low, mismatch), p)


def corrected(found: Sequence[Prediction]) -> list[Prediction]:
    """With Holm's correction over all of them."""
    return [replace(one, holm=p) for one, p in zip(found, holm([one.p for one in found]), strict=True)]


def above_median(mismatch: Array) -> Array:
    """1 where the mismatch lies above the median, else 0."""
    return np.asarray((mismatch > np.median(mismatch)).astype(np.float64)) if len(mismatch) else mismatch


@dataclass(frozen=True)
class FormContest:
    """AUC of `prob` less that of `log`, on the same instructions: per variant, and the mean over the variants."""

    per_variant: Mapping[str, Interval]
    mean: Interval

    def table(self) -> tuple[Table, ...]:
        """A row per variant and one for the mean; empty without a contest."""
        rows = [(variant_name(v), i) for v, i in self.per_variant.items()]
        rows += [("mean of the variants", self.mean)] if len(rows) > 1 else []
        if not rows:
            return ()
        names = ("variant", "AUC of prob less log", "95% CI", "n")
        cells = tuple((name, number(i.value, 3, signed=True), i.range_text(3, signed=True), i.n) for name, i in rows)
        return (Table("Does prob beat log? Paired bootstrap over instructions that both score", names, cells),)

    @property
    def sentence(self) -> str:
        """Who wins, by the mean's interval."""
        if self.mean.value is None or self.mean.low is None:
            return "prob against log: not testable"
        size = f"{number(self.mean.value, 3, signed=True)}, 95% CI {self.mean.range_text(3, signed=True)}"
        if not self.mean.excludes(0):
            return f"prob and log are not separated ({size})"
        return f"prob {'beats' if self.mean.value > 0 else 'loses to'} log ({size})"

    def numbers(self) -> dict[str, float | None]:
        """`prob_minus_log` with `_low`, `_high`, `_n`."""
        name = "prob_minus_log"
        ends = {f"{name}_low": self.mean.low, f"{name}_high": self.mean.high, f"{name}_n": self.mean.n}
        each: dict[str, float | None] = {f"{name}_{v}": i.value for v, i in self.per_variant.items()}
        return {name: self.mean.value, **ends, **each}


def prob_against_log(scores: Mapping[str, pa.Table], real: Mapping[str, float]) -> FormContest:
    """Paired bootstrap over instructions; in the mean each variant counts alike, on the instructions that it scores."""
    both: dict[str, dict[str, tuple[float, float]]] = {}
    for variant in in_order(scores):
        prob, log = (score_map(scores[variant], f"seam_{form}") for form in ("prob", "log"))
        both[variant] = {i: (-prob[i], -log[i]) for i in sorted(prob.keys() & log.keys() & real.keys())}
    each = {variant: _contest([known], real) for variant, known in both.items()}
    return FormContest(each, _contest(list(both.values()), real))


def _contest(variants: Sequence[Mapping[str, tuple[float, float]]], real: Mapping[str, float]) -> Interval:
    ids = sorted(set().union(*variants))
    positive = above_median(np.array([real[i] for i in ids], dtype=np.float64))
    missing = (np.nan, np.nan)
    sides = [np.array([known.get(i, missing) for i in ids], dtype=np.float64) for known in variants]

    def difference(rows: Array) -> Array:
        return np.array([np.mean([_gap(positive[row], side[row]) for side in sides]) for row in rows.astype(int)])

    return bootstrap(difference, np.arange(len(ids), dtype=np.float64), resamples=RESAMPLES)


def _gap(positive: Array, side: Array) -> float:
    """AUC of the first column less that of the second, over the rows that have both."""
    scored = np.isfinite(side).all(axis=1)
    prob, log = auc_rows(np.stack([positive[scored]] * 2), side[scored].T)
    return float(prob - log)
