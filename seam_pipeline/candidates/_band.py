"""The exact search of neighbours within a band of cosine similarity, over a pool that may be larger than memory."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ..progress import Progress, silent
from ._best import Best, Labels, Neighbours
from ._bounds import Bounds

if TYPE_CHECKING:
    import torch

_BLOCK = 32_768
_CPU_TILE, _GPU_TILE = (1024, 1024), (16_384, 4096)
_PER_THREAD = 128
_ROUNDING, _REDUCED = 1e-5, 1e-2
"""Of the product of two lengths: more than a float32 (TF32, bfloat16) sum over a few thousand numbers is ever off."""
_CROWD, _DENSE = 64, 0.08
"""Hits per query and share of a tile from which sorting out first, or computing all products, is cheaper."""


class Vectors(Protocol):
    """What the search reads of a pool: an array [N, D] in memory or mapped, or `EmbeddingCache.vectors`."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> NDArray[np.float32]: ...


def band_search(
    queries: NDArray[np.float32],
    pool: Vectors,
    low: float,
    high: float,
    k: int,
    labels: Labels | None = None,
    *,
    device: str = "cpu",
    progress: Progress = silent,
) -> list[Neighbours]:
    """The k pool rows with the highest inner product within [low, high], for each query; exact.

    queries: [Q, D], pool: [N, D], float32, of unit length for cosines. Pairs that share a label do not count. Finds k
    however many rows lie above the band. One pass over the pool in blocks of 32,768 rows, so memory is the queries, one
    block and k results per query. Most pairs are ruled out by a bound on their product from their leading principal
    components (see `Bounds`); what is left is computed in full, always by the same sum, so results do not depend on
    block, device or company. Equal similarities come in the order of the pool.
    """
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    if not len(queries) or not len(pool):
        return Best(queries, low, high, k).found()
    with _workers(len(queries), device) as (parts, run):
        searches = [
            _Search(queries[p], Bounds(queries[p], pool), _best(queries[p], p, low, high, k, labels), device)
            for p in parts
        ]
        for start in range(0, len(pool), _BLOCK):
            block = np.require(pool[start : start + _BLOCK], np.float32, ["C", "W"])
            for _ in run(lambda search, block=block, start=start: search.block(block, start), searches):
                pass
            progress(min(start + _BLOCK, len(pool)), len(pool))
    return [found for search in searches for found in search.best.found()]


def _best(queries: NDArray[np.float32], part: slice, low: float, high: float, k: int, labels: Labels | None) -> Best:
    return Best(queries, low, high, k, Labels(labels.queries[part], labels.pool) if labels else None)


@contextlib.contextmanager
def _workers(queries: int, device: str) -> Iterator[tuple[list[slice], Callable[..., Iterable[None]]]]:
    """Parts of the queries and a `map` over them, on the CPU with one of torch's threads for each part."""
    import torch

    threads = torch.get_num_threads()
    n = min(threads, queries // _PER_THREAD) if device == "cpu" else 1
    if n < 2:
        yield [slice(0, queries)], map
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(n) as pool:
            yield [slice(i * queries // n, (i + 1) * queries // n) for i in range(n)], pool.map
    finally:
        torch.set_num_threads(threads)


class _Tile(NamedTuple):
    rows: slice
    queries: slice


class _Search:
    def __init__(self, queries: NDArray[np.float32], bounds: Bounds, best: Best, device: str) -> None:
        import torch

        self.queries, self.bounds, self.best = queries, bounds, best
        self.device = torch.device(device)
        self.gpu = self.device.type != "cpu"
        self.on_device = torch.from_numpy(queries).to(self.device)
        self.rounding = _ROUNDING if torch.get_float32_matmul_precision() == "highest" else _REDUCED
        self.longest = float(np.sqrt(np.einsum("ij,ij->i", queries, queries).max()))
        self.buffer = torch.empty(0 if self.gpu else _CPU_TILE[0] * _CPU_TILE[1])

    def block(self, block: NDArray[np.float32], start: int) -> None:
        """Offer the block's hits; `start` is its first row in the pool."""
        import torch

        squares = np.einsum("ij,ij->i", block, block)
        slack = self.rounding * self.longest * float(np.sqrt(squares.max())) + 1e-12
        width = None if self.gpu else self.bounds.width(block, squares, self.best.thresholds)
        rows = torch.from_numpy(block).to(self.device)
        if width is not None:
            short = torch.from_numpy(self.bounds.of_pool(block, squares, width))
            short_queries = torch.from_numpy(self.bounds.of_queries(width))
        for tile in self._tiles(len(block)):
            floor = self.best.thresholds[tile.queries] - np.float32(slack)
            if width is not None:
                hits = _at_least(self._products(short[tile.rows], short_queries[tile.queries]), floor)
                if len(hits) > _DENSE * (tile.rows.stop - tile.rows.start) * len(floor):
                    hits = self._dense(rows, tile, start, floor, slack)
            else:
                hits = self._dense(rows, tile, start, floor, slack)
            row, query = np.divmod(hits, len(floor))
            row += tile.rows.start
            self.best.offer(block, row, row + start, query + tile.queries.start)
        self.best.merge()

    def _tiles(self, size: int) -> Iterator[_Tile]:
        height, width = _GPU_TILE if self.gpu else _CPU_TILE
        for row in range(0, size, height):
            for query in range(0, len(self.queries), width):
                yield _Tile(slice(row, min(row + height, size)), slice(query, min(query + width, len(self.queries))))

    def _products(self, rows: "torch.Tensor", queries: "torch.Tensor") -> "torch.Tensor":
        """Inner products [rows, queries]; on the CPU in a buffer that the next call overwrites."""
        import torch

        if self.gpu:
            return rows @ queries.T
        out = self.buffer[: len(rows) * len(queries)].view(len(rows), len(queries))
        return torch.mm(rows, queries.T, out=out)

    def _dense(
        self, rows: "torch.Tensor", tile: _Tile, start: int, floor: NDArray[np.float32], slack: float
    ) -> NDArray[np.int64]:
        """Flat places of the tile's pairs that may be in the band; only each query's best where they are a crowd."""
        import torch

        products = self._products(rows[tile.rows], self.on_device[tile.queries])
        hits = _at_least(products, floor)
        if len(hits) <= _CROWD * len(floor):
            return hits
        products.masked_fill_(products > float(self.best.high) + slack, -torch.inf)
        for same in self.best.sharing(slice(start + tile.rows.start, start + tile.rows.stop), tile.queries):
            products.masked_fill_(torch.from_numpy(same).to(self.device), -torch.inf)
        # The kth best of those that are in the band beyond doubt: at its edges rounding decides
        certain = products.masked_fill(products > float(self.best.high) - slack, -torch.inf)
        kth = torch.topk(certain, min(self.best.k, len(certain)), dim=0).values[-1].cpu().numpy()
        return _at_least(products, np.maximum(floor, kth - np.float32(2 * slack)))


def _at_least(values: "torch.Tensor", floor: NDArray[np.float32]) -> NDArray[np.int64]:
    """Flat places where values [R, Q] reach their column's floor [Q]."""
    import torch

    if values.device.type == "cpu":
        return np.flatnonzero(np.greater_equal(values.numpy(), floor))
    over = values >= torch.from_numpy(floor).to(values.device)
    return torch.nonzero(over.flatten()).flatten().cpu().numpy()
