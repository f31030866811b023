"""Fig. 5: without the instructions on which the reward model contradicts the preference, and the control."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from ..tables import SELECTED
from ._lowest import unit_hash

_KNOWN = {"match": 1.0, "mismatch": 0.0}


def matched(ids: Sequence[str], outcomes: Mapping[str, str]) -> pa.Table:
    """SELECTED without the mismatches: score 1 matched, 0 mismatched, null kept with the reason.

    `outcomes` are those of judging.match; an instruction that is not among them was not compared.
    """
    found = [outcomes.get(id_) for id_ in ids]
    scores = [None if one is None else _KNOWN.get(one) for one in found]
    whys = [None if one in _KNOWN else f"kept: {'not compared' if one is None else one}" for one in found]
    columns = {"id": list(ids), "kept": [one != "mismatch" for one in found], "score": scores, "reason": whys}
    return pa.table(columns, schema=SELECTED)


def as_many_at_random(ids: Sequence[str], outcomes: Mapping[str, str], seed: int) -> pa.Table:
    """SELECTED without as many rows as `matched` drops, those with the lowest hash of seed and id (the score)."""
    n = sum(outcomes.get(id_) == "mismatch" for id_ in ids)
    scores = {id_: unit_hash(id_, f"matched random {seed}") for id_ in ids}
    out = set(sorted(ids, key=lambda id_: (scores[id_], id_))[:n])
    columns = {"id": list(ids), "kept": [id_ not in out for id_ in ids], "score": list(scores.values())}
    return pa.table({**columns, "reason": [None] * len(ids)}, schema=SELECTED)
