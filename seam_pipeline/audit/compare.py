"""Set results side by side: which instructions do methods, forms, variants and pairs of models call bad?"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from scipy import stats

from ..findings._statistics import Interval, spearman_rows, wilson
from ..findings._tables import lowest
from ..findings.candidate_likelihoods import mean_of
from ..tables import LIKELIHOODS

FORMS = ("log", "prob", "mean_log", "mean_prob")


@dataclass(frozen=True)
class Result:
    """One method's scores: by form (`score` where there is one only), nulls left out; low = filtered first.

    `parts` are CANDIDATE_SCORES rows (null ones left out), `texts` the candidates' texts by (id, index), `rows` the
    instructions by id; each is empty where it is not known.
    """

    name: str
    scores: Mapping[str, Mapping[str, float]]
    n_rows: int
    variant: str | None = None
    cell: tuple[int, int] | None = None
    parts: Sequence[Mapping[str, Any]] = ()
    texts: Mapping[tuple[str, int], str] = field(default_factory=dict)
    rows: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of_tables(
        cls,
        name: str,
        scores: pa.Table,
        parts: pa.Table | None = None,
        candidates: pa.Table | None = None,
        rows: pa.Table | None = None,
        **more: Any,
    ) -> "Result":
        """From SEAM_SCORES or SELECTED (a column `score`), and the tables beside it that there are."""
        columns = {form: f"seam_{form}" for form in FORMS if f"seam_{form}" in scores.column_names}
        columns = columns or {"score": "score"}
        ids = scores["id"].to_pylist()
        return cls(
            name,
            {form: _known(ids, scores[column].to_pylist()) for form, column in columns.items()},
            scores.num_rows,
            parts=[] if parts is None else [p for p in parts.to_pylist() if _complete(p)],
            texts={} if candidates is None else _texts(candidates),
            rows={} if rows is None else {row["id"]: row for row in rows.to_pylist()},
            **more,
        )

    def form(self, wanted: str) -> str:
        """The wanted form, or `score` for a method that has only that."""
        return wanted if wanted in self.scores else next(iter(self.scores))

    def likelihood(self) -> Interval:
        """Mean over candidates of the log-likelihood per token (Table 1), resampling instructions."""
        columns = {name: [p[name] for p in self.parts] for name in ("id", "candidate_index", "loglik", "n_tokens")}
        fixed = {"prompt_cut": [0] * len(self.parts), "truncated": [False] * len(self.parts)}
        return mean_of(pa.table({**columns, **fixed, "reason": [None] * len(self.parts)}, schema=LIKELIHOODS))

    def misjudged(self) -> float | None:
        """Share of the candidates that the reward model prefers to the golden response."""
        return sum(p["misjudgement"] > 0 for p in self.parts) / len(self.parts) if self.parts else None

    def worst(self, k: int, wanted: str) -> list[tuple[str, float]]:
        """(id, score) of the k lowest scores, ties by id."""
        scored = self.scores[self.form(wanted)]
        return sorted(scored.items(), key=lambda item: (item[1], item[0]))[:k]

    def offenders(self, id_: str, k: int, wanted: str) -> list[Mapping[str, Any]]:
        """The instruction's misjudged candidates that lower its score most."""
        prob = self.form(wanted).endswith("prob")

        def part(p: Mapping[str, Any]) -> float:
            per_token = p["loglik"] / p["n_tokens"]
            return float((-math.exp(per_token) if prob else per_token) * p["misjudgement"])

        own = [p for p in self._by_id.get(id_, ()) if p["misjudgement"] > 0]
        return sorted(own, key=lambda p: (part(p), p["candidate_index"]))[:k]

    @cached_property
    def _by_id(self) -> Mapping[str, list[Mapping[str, Any]]]:
        groups: dict[str, list[Mapping[str, Any]]] = {}
        for p in self.parts:
            groups.setdefault(p["id"], []).append(p)
        return groups


def _known(ids: Iterable[str], values: Iterable[float | None]) -> dict[str, float]:
    return {id_: v for id_, v in zip(ids, values, strict=True) if v is not None and math.isfinite(v)}


def _complete(part: Mapping[str, Any]) -> bool:
    return part["misjudgement"] is not None and part["loglik"] is not None and bool(part["n_tokens"])


def _texts(candidates: pa.Table) -> dict[tuple[str, int], str]:
    columns = (candidates[name].to_pylist() for name in ("id", "candidate_index", "candidate"))
    return {(id_, index): text for id_, index, text in zip(*columns, strict=True) if text is not None}


class Comparison(NamedTuple):
    """Two results over the `n` instructions that both score; `overlap` is |A and B| / |A| of the lowest sets."""

    a: str
    b: str
    form_a: str
    form_b: str
    n: int
    spearman: Interval
    kendall: float | None
    overlap: Interval

    def row(self) -> dict[str, Any]:
        """Flat, for a table."""
        return {
            "a": self.a, "b": self.b, "form_a": self.form_a, "form_b": self.form_b, "instructions": self.n,
            "spearman": self.spearman.value, "spearman_low": self.spearman.low, "spearman_high": self.spearman.high,
            "kendall": self.kendall, "overlap": self.overlap.value, "overlap_low": self.overlap.low,
            "overlap_high": self.overlap.high, "lowest_set": self.overlap.n,
        }  # fmt: skip


def compare_scores(results: Sequence[Result], rate: float, forms: Sequence[str] = ("log",)) -> list[Comparison]:
    """Each two results under each of `forms`, then, with several forms, each result's own forms among themselves."""
    found = []
    for form in forms:
        for a, b in combinations(results, 2):
            if form == forms[0] or form in a.scores or form in b.scores:
                found.append(_compared(a, a.form(form), b, b.form(form), rate))
    if len(forms) > 1:
        for one in results:
            found += [_compared(one, x, one, y, rate) for x, y in combinations(one.scores, 2)]
    return found


def _compared(a: Result, form_a: str, b: Result, form_b: str, rate: float) -> Comparison:
    one, other = a.scores[form_a], b.scores[form_b]
    shared = sorted(one.keys() & other.keys())
    x, y = (np.array([side[i] for i in shared], np.float64) for side in (one, other))
    low = [lowest({i: side[i] for i in shared}, rate) if shared else set() for side in (one, other)]
    overlap = wilson(len(low[0] & low[1]), len(low[0]))
    tau = float(stats.kendalltau(x, y).statistic) if len(shared) > 1 else float("nan")
    return Comparison(
        a.name,
        b.name,
        form_a,
        form_b,
        len(shared),
        rank_correlation(x, y),
        tau if math.isfinite(tau) else None,
        overlap,
    )


def rank_correlation(x: np.ndarray, y: np.ndarray) -> Interval:
    """Spearman's correlation with Fisher's z interval, its error as in Bonett and Wright (2000).

    No value for fewer than two rows or a constant side, no interval for fewer than four rows.
    """
    n = len(x)
    value = float(spearman_rows(x[None], y[None])[0]) if n > 1 else float("nan")
    if not math.isfinite(value):
        return Interval(None, None, None, n)
    value = max(-1.0, min(1.0, value))
    if n < 4 or abs(value) > 1 - 1e-12:
        return Interval(value, None, None, n)
    z, error = math.atanh(value), 1.96 * math.sqrt((1 + value**2 / 2) / (n - 3))
    return Interval(value, math.tanh(z - error), math.tanh(z + error), n)


def likelihood_rows(results: Sequence[Result]) -> Iterator[dict[str, Any]]:
    """Table 1 of the paper for each result that has candidates: nats per token, and who is misjudged."""
    for one in results:
        if one.parts:
            mean = one.likelihood()
            yield {
                "name": one.name, "nats_per_token": mean.value, "low": mean.low, "high": mean.high,
                "candidates": len(one.parts), "instructions": mean.n, "misjudged": one.misjudged(),
            }  # fmt: skip


def shown_rows(results: Sequence[Result], k: int, form: str, offenders: int = 3) -> Iterator[dict[str, Any]]:
    """The k lowest instructions of each result with the candidates that lower them, texts where they are known.

    `candidates` is empty where none is misjudged, and null for a method without candidates.
    """
    for one in results:
        for id_, score in one.worst(k, form):
            row = one.rows.get(id_, {})
            own = one.offenders(id_, offenders, form)
            yield {
                "name": one.name,
                "id": id_,
                "form": one.form(form),
                "score": score,
                "instruction": row.get("instruction"),
                "golden_response": row.get("golden_response"),
                "golden_reward": own[0]["golden_reward"] if own else None,
                "candidates": [_shown(one, p) for p in own] if one.parts else None,
            }


def _shown(one: Result, part: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "candidate_index": part["candidate_index"],
        "candidate": one.texts.get((part["id"], part["candidate_index"])),
        "reward": part["reward"],
        "nats_per_token": part["loglik"] / part["n_tokens"],
        "misjudgement": part["misjudgement"],
    }


def distinct_names(names: Sequence[str]) -> list[str]:
    """The names, equal ones numbered."""
    found: list[str] = []
    for name in names:
        tries = (name, *(f"{name} ({number})" for number in range(2, len(names) + 2)))
        found.append(next(one for one in tries if one not in found))
    return found


__all__ = [
    "FORMS", "Comparison", "Result", "compare_scores", "distinct_names", "likelihood_rows", "rank_correlation",
    "shown_rows",
]  # fmt: skip
