"""Approximate search in a FAISS index, with its recall measured."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import SeamError
from ._band import Vectors, band_search
from ._best import Best, Labels, Neighbours

Kind = Literal["ivf", "hnsw"]

_BLOCK, _WIDEST, _TOGETHER = 65_536, 4096, 512
_PER_CELL, _LINKS, _WHILE_BUILDING = 40, 32, 80


class Recall(NamedTuple):
    """Share of the exact neighbours that were found, over some queries; None where these have none."""

    value: float | None
    queries: int
    neighbours: int


class ApproximateIndex:
    """IVF (cells of k-means) or HNSW (a graph of neighbours) over a pool [N, D], by inner product.

    IVF has 4 sqrt(N) cells, of which a query visits `probes`; HNSW has 32 links a row and keeps `probes` rows in view.
    Holds a copy of the pool. HNSW is built by one thread, or it would differ from run to run.
    """

    def __init__(self, pool: Vectors, kind: Kind, probes: int) -> None:
        try:
            import faiss
        except ImportError as error:
            raise SeamError(f"contrast.index: {kind} needs `pip install faiss-cpu`; or use exact.") from error
        self.pool, self.kind, self.probes = pool, kind, probes
        width = pool[np.arange(min(1, len(pool)))].shape[1]
        threads = faiss.omp_get_max_threads()
        if kind == "ivf":
            cells = max(1, min(int(4 * len(pool) ** 0.5), len(pool) // _PER_CELL))
            self._index: Any = faiss.IndexIVFFlat(faiss.IndexFlatIP(width), width, cells, faiss.METRIC_INNER_PRODUCT)
            some = np.linspace(0, len(pool) - 1, min(len(pool), cells * _PER_CELL)).astype(np.int64)
            self._index.train(np.ascontiguousarray(pool[some]))
        else:
            self._index = faiss.IndexHNSWFlat(width, _LINKS, faiss.METRIC_INNER_PRODUCT)
            self._index.hnsw.efConstruction = _WHILE_BUILDING
            faiss.omp_set_num_threads(1)
        try:
            for start in range(0, len(pool), _BLOCK):
                self._index.add(np.ascontiguousarray(pool[start : start + _BLOCK]))
        finally:
            faiss.omp_set_num_threads(threads)

    def search(
        self, queries: NDArray[np.float32], low: float, high: float, k: int, labels: Labels | None = None
    ) -> list[Neighbours]:
        """As `band_search`, among what the index finds; up to 4096 rows are asked for where many lie above the band."""
        found: dict[int, Neighbours] = {}
        todo, width = np.arange(len(queries)), min(len(self.pool), k + 32)
        while len(todo):
            still: list[int] = []
            for start in range(0, len(todo), _TOGETHER):
                some = todo[start : start + _TOGETHER]
                sims, rows = self._ask(queries[some], width)
                hits = self._within(queries[some], rows, low, high, k, labels.some(some) if labels else None)
                ended = (rows[:, -1] < 0) | (sims[:, -1] < low) | np.array([len(h.indices) >= k for h in hits])
                found.update(zip(some.tolist(), hits, strict=True))
                still += some[~ended].tolist()
            if width >= min(_WIDEST, len(self.pool)):
                break
            todo, width = np.array(still, dtype=np.int64), min(width * 4, _WIDEST, len(self.pool))
        return [found[q] for q in range(len(queries))]

    def _ask(self, queries: NDArray[np.float32], width: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        if self.kind == "ivf":
            self._index.nprobe = self.probes
        else:
            self._index.hnsw.efSearch = max(self.probes, width)
        return self._index.search(queries, width)

    def _within(
        self, queries: NDArray[np.float32], rows: NDArray[np.int64], low: float, high: float, k: int,
        labels: Labels | None,
    ) -> list[Neighbours]:  # fmt: skip
        best = Best(queries, low, high, k, labels)
        query, at = np.nonzero(rows >= 0)
        unique, place = np.unique(rows[query, at], return_inverse=True)
        best.offer(self.pool[unique], place, rows[query, at], query)
        return best.found()


def measured_recall(
    index: ApproximateIndex,
    queries: NDArray[np.float32],
    low: float,
    high: float,
    k: int,
    labels: Labels | None = None,
    *,
    sample: int = 200,
    device: str = "cpu",
) -> Recall:
    """Recall of the index against the exact search, on `sample` queries taken at equal distances."""
    some = np.unique(np.linspace(0, len(queries) - 1, min(sample, len(queries))).astype(np.int64))
    part = labels.some(some) if labels else None
    exact = band_search(queries[some], index.pool, low, high, k, part, device=device)
    return recall_of(index.search(queries[some], low, high, k, part), exact)


def recall_of(found: Sequence[Neighbours], exact: Sequence[Neighbours]) -> Recall:
    """Share of the exact neighbours among those found."""
    wanted = sum(len(e.indices) for e in exact)
    there = sum(len(np.intersect1d(f.indices, e.indices)) for f, e in zip(found, exact, strict=True))
    return Recall(there / wanted if wanted else None, len(exact), wanted)
