"""Building the CANDIDATES table."""

import hashlib
from typing import NamedTuple

import pyarrow as pa

from ..tables import CANDIDATES


class Candidate(NamedTuple):
    """One r*: its text, where it comes from, and its similarity where there is one."""

    text: str
    source: str
    similarity: float | None = None


class Rows:
    """Collects candidates instruction by instruction."""

    def __init__(self) -> None:
        self._rows: list[dict[str, object]] = []

    def add(self, id: str, candidates: list[Candidate], short: str | None, source: str) -> None:
        """Append one instruction's set; `short` says why it is smaller than asked for (its row has index -1)."""
        for index, candidate in enumerate(candidates):
            self._append(id, index, candidate.text, candidate.source, candidate.similarity, None)
        if short is not None:
            self._append(id, -1, None, source, None, short)

    def _append(self, id: str, index: int, text: str | None, source: str, sim: float | None, why: str | None) -> None:
        values = (id, index, text, source, sim, why)
        self._rows.append(dict(zip(CANDIDATES.names, values, strict=True)))

    def table(self) -> pa.Table:
        """The rows so far, in the order of `add`."""
        return pa.Table.from_pylist(self._rows, schema=CANDIDATES)


def row_seed(seed: int, *parts: str) -> int:
    """A 63-bit seed from a seed and names; the same on every machine."""
    text = "\x1f".join([str(seed), *parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
