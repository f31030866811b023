"""Filter the lowest scored rows: the one rule that all methods share."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import pyarrow as pa

from ..tables import SELECTED


def n_filtered(rate: float, n_rows: int) -> int:
    """round(rate * n_rows), halves up, in decimal arithmetic: 0.57 of 50 rows is 28.5, so 29."""
    if not 0 < rate < 1:
        raise ValueError(f"rate {rate} is not between 0 and 1")
    return math.floor(Fraction(str(rate)) * n_rows + Fraction(1, 2))


def unit_hash(text: str, salt: str) -> float:
    """A number in [0, 1) that depends on the salt and the text alone."""
    return int.from_bytes(hashlib.sha256(f"{salt}\0{text}".encode()).digest()[:8]) / 2**64


def lowest_out(ids: Sequence[str], scores: Sequence[float | None], reasons: Mapping[str, str], rate: float) -> pa.Table:
    """SELECTED with `n_filtered(rate, len(ids))` rows filtered, the lowest scores first, ties by a hash of the id.

    Null or non-finite scores are never filtered, so fewer rows go when fewer are scored: the share is of all
    rows, so that methods filter equally many. `reasons` says why a score is null, by id.
    """
    finite = [score if score is not None and math.isfinite(score) else None for score in scores]
    scored = [(score, unit_hash(id_, "tie"), id_) for id_, score in zip(ids, finite, strict=True) if score is not None]
    out = {id_ for _, _, id_ in sorted(scored)[: n_filtered(rate, len(ids))]}
    whys = [
        None if score is not None else f"kept without a score: {reasons.get(id_) or _why(given)}"
        for id_, score, given in zip(ids, finite, scores, strict=True)
    ]
    columns = {"id": list(ids), "kept": [id_ not in out for id_ in ids], "score": finite, "reason": whys}
    return pa.table(columns, schema=SELECTED)


def _why(score: float | None) -> str:
    return "none given" if score is None else f"it is {score}"
