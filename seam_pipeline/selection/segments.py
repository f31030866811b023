"""The RL instructions in segments, one per cycle of online RLHF."""

import pyarrow as pa

from ._lowest import unit_hash


def segment_of(identity: str, segments: int) -> int:
    """1 to `segments`, by a hash of the id alone."""
    return 1 + int(unit_hash(identity, "cycle") * segments)


def segment(rows: pa.Table, number: int, segments: int) -> pa.Table:
    """The rows whose `id` falls into segment `number`, in their order."""
    return rows.filter(pa.array([segment_of(i, segments) == number for i in rows["id"].to_pylist()], pa.bool_()))
