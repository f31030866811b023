"""SEAM-Contrast: golden responses of similar but other questions (SPEC section 6)."""

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import SeamError
from ..experiment import Contrast
from ..progress import Progress, silent
from ._band import Vectors, band_search
from ._best import Labels, Neighbours
from ._index import ApproximateIndex, Recall, measured_recall
from ._rows import Candidate, Rows
from ._texts import Distinct, normalised
from .embedding import embed_texts
from .sizes import SetSizes, set_sizes

log = logging.getLogger(__name__)

_AT_ONCE, _TOGETHER = 65_536, 1024
_MOST_RESULTS = 4_000_000
"""Neighbours held at a time: queries times k."""


class Contrasted(NamedTuple):
    """The candidate sets, and what is worth knowing about how they came about."""

    table: pa.Table
    """CANDIDATES; an approximate index and its recall stand in the schema's metadata too"""
    sizes: SetSizes
    encoded: int
    """Different instructions that went through the embedding model"""
    known: int
    """Different instructions whose vectors were in the cache"""
    recall: Recall | None
    """Of an approximate index; None for the exact search, which misses nothing"""


def contrast_candidates(
    rl: pa.Table, pool: pa.Table, settings: Contrast, n: int, progress: Progress = silent, *,
    device: str = "cpu", cache: Path | None = None,
) -> pa.Table:  # fmt: skip
    """The table of `contrast_sets`."""
    return contrast_sets(rl, pool, settings, n, progress, device=device, cache=cache).table


def contrast_sets(
    rl: pa.Table,
    pool: pa.Table,
    settings: Contrast,
    n: int,
    progress: Progress = silent,
    *,
    device: str = "cpu",
    cache: Path | None = None,
) -> Contrasted:
    """CANDIDATES for each row of `rl`: answers of its n nearest other instructions in the similarity band.

    rl: `id, instruction, golden_response`. pool: the same columns; only its train rows should be given.
    Left out: rows with the same id or the same instruction (layout aside), and answers that equal or nearly equal the
    golden one or a nearer candidate. `source` is the neighbour's id, `similarity` the cosine of the instructions.
    `cache`: folder that keeps embeddings from one call to the next.
    """
    pool = _first_by_hash(pool, settings.max_pool)
    if not pool.num_rows:
        raise SeamError("candidates.contrast: the pool has no rows; give more SFT data or set contrast to null.")
    parts = [table["instruction"].cast(pa.large_string()) for table in (rl, pool)]
    both = pa.chunked_array([chunk for part in parts for chunk in part.chunks], type=pa.large_string())
    found = embed_texts(
        both, settings.embedding, pooling=settings.pooling, device=device, processes=settings.processes,
        cache=cache, progress=progress,
    )  # fmt: skip
    search = _Search(rl, pool, settings, n, device if device.startswith("cuda") else "cpu")
    sets, recall = search.run(found.vectors[: rl.num_rows], _Part(found.vectors, rl.num_rows, len(both)))
    rows = Rows()
    for id, candidates in zip(rl["id"].to_pylist(), sets, strict=True):
        rows.add(id, candidates, _short(len(candidates), n, settings), "contrast")
    table = rows.table()
    if recall is not None:
        table = table.replace_schema_metadata({"recall": str(recall.value), "index": settings.index})
    made = Contrasted(table, set_sizes(table, n), found.encoded, found.known, recall)
    log.info("contrast: %s; %d encoded, %d known", made.sizes.sentence(), found.encoded, found.known)
    return made


def _first_by_hash(pool: pa.Table, most: int | None) -> pa.Table:
    if most is None or pool.num_rows <= most:
        return pool
    keys = [hashlib.sha256(id.encode()).digest() for id in pool["id"].to_pylist()]
    return pool.take(sorted(sorted(range(len(keys)), key=keys.__getitem__)[:most]))


def _short(found: int, n: int, settings: Contrast) -> str | None:
    if found >= n:
        return None
    return f"{found} of {n}: only {found} different answers in the band [{settings.low:g}, {settings.high:g}]"


class _Part:
    """The rows of some vectors from `start` on, without a copy."""

    def __init__(self, vectors: Vectors, start: int, stop: int) -> None:
        self._vectors, self._rows = vectors, np.arange(start, stop)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> NDArray[np.float32]:
        return self._vectors[self._rows[rows]]


class _Search:
    """Widens the band search for those instructions whose neighbours' answers repeat each other."""

    def __init__(self, rl: pa.Table, pool: pa.Table, settings: Contrast, n: int, device: str) -> None:
        self.settings, self.n, self.device = settings, n, device
        self.golden: list[str] = rl["golden_response"].to_pylist()
        self.ids, self.answers = pool["id"], pool["golden_response"]
        self.labels = Labels(_labels(rl), _labels(pool))

    def run(self, queries: NDArray[np.float32], pool: Vectors) -> tuple[list[list[Candidate]], Recall | None]:
        low, high = self.settings.low, self.settings.high
        index, recall = None, None
        if self.settings.index != "exact":
            index = ApproximateIndex(pool, self.settings.index, self.settings.probes)
            recall = measured_recall(index, queries, low, high, self.n, self.labels, device=self.device)
            log.info("contrast: recall of %s is %s (%d queries)", self.settings.index, recall.value, recall.queries)
        sets: list[list[Candidate]] = [[] for _ in self.golden]
        todo, k = np.arange(len(self.golden)), self.n + 8
        while len(todo):
            still: list[int] = []
            for some in _parts(todo, max(1, _MOST_RESULTS // k)):
                labels = self.labels.some(some)
                if index is None:
                    hits = band_search(queries[some], pool, low, high, k, labels, device=self.device)
                else:
                    hits = index.search(queries[some], low, high, k, labels)
                for q, found in zip(some, self._different(some, hits), strict=True):
                    sets[q] = found
                still += [
                    q for q, hit in zip(some, hits, strict=True) if len(sets[q]) < self.n and len(hit.indices) == k
                ]
            todo, k = np.array(still, dtype=np.int64), k * 4
        return sets, recall

    def _different(self, queries: NDArray[np.int64], hits: list[Neighbours]) -> Iterator[list[Candidate]]:
        """The n nearest of each query's neighbours whose answers differ from its golden one and from each other."""
        for part in _parts(np.arange(len(queries)), _TOGETHER):
            rows = np.unique(np.concatenate([hits[i].indices for i in part]))
            texts = dict(zip(rows.tolist(), self.answers.take(pa.array(rows)).to_pylist(), strict=True))
            ids = dict(zip(rows.tolist(), self.ids.take(pa.array(rows)).to_pylist(), strict=True))
            for i in part:
                distinct, kept = Distinct([self.golden[queries[i]]]), []
                for row, similarity in zip(hits[i].indices.tolist(), hits[i].similarities.tolist(), strict=True):
                    if texts[row].strip() and distinct.add(texts[row]):
                        kept.append(Candidate(texts[row], ids[row], similarity))
                    if len(kept) == self.n:
                        break
                yield kept


def _parts(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _labels(table: pa.Table) -> NDArray[np.int64]:
    """[rows, 3]: 64-bit hashes of the id, the question and the answer; rows that share one are no contrast."""
    parts = [np.zeros((0, 3), dtype=np.int64)]
    for start in range(0, table.num_rows, _AT_ONCE):
        some = table.slice(start, _AT_ONCE)
        ids = [_hash(id) for id in some["id"].to_pylist()]
        texts = [[_hash(normalised(t)) for t in some[c].to_pylist()] for c in ("instruction", "golden_response")]
        parts.append(np.array([ids, *texts], dtype=np.int64).T)
    return np.concatenate(parts)


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
