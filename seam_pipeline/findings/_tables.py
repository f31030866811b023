"""Read what the findings need out of the stages' tables."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from seam_pipeline.selection._lowest import lowest_out

Cell = tuple[int, int]
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
MAX_REASONS = 8
SMALL = 20


def columns(table: pa.Table, *names: str) -> Iterator[tuple[Any, ...]]:
    """Rows of the named columns as tuples of Python values."""
    return zip(*(table.column(name).to_pylist() for name in names), strict=True)


def ratings(answers: pa.Table) -> dict[tuple[int, str], float]:
    """Rating by (seed, id); unrated answers are left out."""
    return {(s, i): r for s, i, r in columns(answers, "seed", "id", "rating") if r is not None}


def by_id(rated: Iterable[Mapping[tuple[int, str], float]]) -> dict[str, float]:
    """Mean over seeds and tables of each id's ratings: instructions are the units."""
    gathered: defaultdict[str, list[float]] = defaultdict(list)
    for one in rated:
        for (_, identity), rating in one.items():
            gathered[identity].append(rating)
    return {identity: float(np.mean(values)) for identity, values in sorted(gathered.items())}


def paired(a: Mapping[str, float], b: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Values of the ids that both have, in the ids' order."""
    shared = sorted(a.keys() & b.keys())
    return np.array([a[i] for i in shared], dtype=np.float64), np.array([b[i] for i in shared], dtype=np.float64)


def count_nulls(tables: Iterable[pa.Table], column: str, what: str) -> dict[str, int]:
    """Null values of `column` as {`what`: reason: count}.

    Numbers in reasons become `n` so that alike reasons are counted together; beyond MAX_REASONS the rest is one entry.
    """
    found: Counter[str] = Counter()
    for table in tables:
        for value, reason in columns(table, column, "reason"):
            if value is None:
                found[_NUMBER.sub("n", reason or "no reason given")] += 1
    shown = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    counted = {f"{what}: {reason}": n for reason, n in shown[:MAX_REASONS]}
    if len(shown) > MAX_REASONS:
        counted[f"{what}: other reasons"] = sum(n for _, n in shown[MAX_REASONS:])
    return counted


def judges(tables: Iterable[pa.Table]) -> list[str]:
    """Names of the judges in ANSWERS tables."""
    return sorted({judge for table in tables for judge in table.column("judge").unique().to_pylist()})


def rating_label(tables: Iterable[pa.Table]) -> str:
    """Axis label of a rating, which names a proxy a proxy."""
    return "similarity rating, a proxy (1–10)" if _proxy(judges(tables)) else "judge's rating (1–10)"


def judge_caveats(tables: Iterable[pa.Table]) -> tuple[str, ...]:
    """Who rated, and what that is worth."""
    names = judges(tables)
    notes = [f"Rated by: {', '.join(names)}."] if names else []
    if _proxy(names):
        notes.append("Ratings are similarity to the golden answer: a proxy for quality, not a judgement of it.")
    if len(names) > 1:
        notes.append("Several judges are mixed here; their scales need not agree.")
    return tuple(notes)


def small_sample(n: int, unit: str) -> tuple[str, ...]:
    """A warning where a bootstrap over so few units is too narrow."""
    return (f"Only {n} {unit}s: a bootstrap interval over so few is too narrow.",) if n < SMALL else ()


def lowest(scores: Mapping[str, float], rate: float) -> set[str]:
    """The ids that selection would filter out of these alone: same rounding, same rule for ties."""
    selected = lowest_out(list(scores), list(scores.values()), {}, rate)
    return {identity for identity, kept in columns(selected, "id", "kept") if not kept}


def score_map(scores: pa.Table, column: str) -> dict[str, float]:
    """Score by id, nulls left out."""
    return {i: s for i, s in columns(scores, "id", column) if s is not None}


def summary_rows(summaries: Mapping[int, Mapping[str, Any]]) -> tuple[tuple[str, ...], tuple[tuple[Any, ...], ...]]:
    """Columns and rows of the scalar entries that training summaries share out, by rank."""
    keys = list(dict.fromkeys(k for s in summaries.values() for k, v in s.items() if isinstance(v, (int, float, str))))
    rows = tuple((rank, *(summaries[rank].get(key) for key in keys)) for rank in sorted(summaries))
    return ("rank", *(key.replace("_", " ") for key in keys)), rows


def _proxy(names: Iterable[str]) -> bool:
    return any("reference" in name or "similarity" in name for name in names)
