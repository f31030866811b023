"""The best k pool rows of each query so far."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_CHUNK, _MANY = 512, 200_000
"""Pairs computed together (small enough for the processor's cache) and collected before the k best are sorted out."""


class Neighbours(NamedTuple):
    """Pool rows of one query, most similar first."""

    indices: NDArray[np.int64]
    similarities: NDArray[np.float32]


class Labels(NamedTuple):
    """What a query must not share with its neighbours: a pair that agrees in any of the L columns does not count."""

    queries: NDArray[np.int64]
    """[Q, L]"""
    pool: NDArray[np.int64]
    """[N, L]"""

    def some(self, queries: NDArray[np.intp] | list[int]) -> "Labels":
        """The same for a part of the queries."""
        return Labels(self.queries[queries], self.pool)


class Best:
    """Takes pairs that may be in the band, computes their products, and keeps each query's k best within it."""

    def __init__(
        self, queries: NDArray[np.float32], low: float, high: float, k: int, labels: Labels | None = None
    ) -> None:
        self.queries, self.low, self.high, self.k = queries, np.float32(low), np.float32(high), k
        self.labels = labels
        self._pairs = np.empty((2, _CHUNK, queries.shape[1]), dtype=np.float32)
        self._sims = np.full((len(queries), k), -np.inf, dtype=np.float32)
        self._rows = np.full((len(queries), k), -1, dtype=np.int64)
        self.thresholds = np.full(len(queries), self.low)
        """[Q]: what a product must reach to count; rises as k are found"""
        self._waiting: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]] = []
        self._n_waiting = 0

    def offer(
        self,
        block: NDArray[np.float32],
        places: NDArray[np.int64],
        rows: NDArray[np.int64],
        queries: NDArray[np.int64],
    ) -> None:
        """Consider pairs of a pool row, which lies at a place in `block`, and a query; each pair once in a search."""
        for at in range(0, len(rows), _CHUNK):
            place, row, query = (x[at : at + _CHUNK] for x in (places, rows, queries))
            sims = self._products(block, place, query)
            keep = (sims >= self.thresholds[query]) & (sims <= self.high)
            if self.labels is not None and keep.any():
                keep &= (self.labels.pool[row] != self.labels.queries[query]).all(axis=1)
            if keep.any():
                self._waiting.append((query[keep], row[keep], sims[keep]))
                self._n_waiting += int(keep.sum())
        if self._n_waiting > _MANY:
            self.merge()

    def _products(
        self, block: NDArray[np.float32], places: NDArray[np.int64], queries: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """[n], each by the same sum whatever its company."""
        x, y = self._pairs[:, : len(places)]
        np.take(block, places, axis=0, out=x, mode="clip")
        np.take(self.queries, queries, axis=0, out=y, mode="clip")
        return np.einsum("ij,ij->i", x, y)

    def sharing(self, rows: slice, queries: slice) -> Iterator[NDArray[np.bool_]]:
        """Per column of labels, which pairs [rows, queries] share it."""
        if self.labels is not None:
            for column in range(self.labels.pool.shape[1]):
                yield self.labels.pool[rows, column][:, None] == self.labels.queries[queries, column][None, :]

    def merge(self) -> None:
        """Work what was offered into the k best, so that the thresholds rise."""
        if not self._waiting:
            return
        query, row, sim = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting, self._n_waiting = [], 0
        touched = np.unique(query)
        query = np.concatenate([np.repeat(touched, self.k), query])
        row = np.concatenate([self._rows[touched].ravel(), row])
        sim = np.concatenate([self._sims[touched].ravel(), sim])
        order = np.lexsort((row, -sim, query))
        query, row, sim = query[order], row[order], sim[order]
        first = np.searchsorted(query, touched)
        rank = np.arange(len(query)) - np.repeat(first, np.diff([*first, len(query)]))
        keep = rank < self.k
        self._rows[query[keep], rank[keep]], self._sims[query[keep], rank[keep]] = row[keep], sim[keep]
        self.thresholds[touched] = np.maximum(self._sims[touched, -1], self.low)

    def found(self) -> list[Neighbours]:
        """Per query what is in the band, best first."""
        self.merge()
        full = self._rows >= 0
        return [Neighbours(r[f], s[f]) for r, s, f in zip(self._rows, self._sims, full, strict=True)]
