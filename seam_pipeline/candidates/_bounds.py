"""Upper bounds on inner products from a few principal components, to rule pairs out cheaply."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SAMPLE, _ROWS, _QUERIES = 8192, 384, 192
_WIDTHS = (16, 24, 32, 48, 64, 96, 128, 192)
_CHECK = 20.0
"""Cost of one pair computed on its own, in pairs computed by a matrix product (measured: 10 to 26)."""


class Bounds:
    """In the basis of the pool's principal components, x.y <= (first m).(first m) + |rest of x| |rest of y|.

    The right side is itself an inner product of m + 1 numbers (Cauchy-Schwarz on the rest), so one narrow matrix
    product bounds a whole tile. Exact: a pair is ruled out only when its bound is too low.
    """

    def __init__(self, queries: NDArray[np.float32], pool: Any) -> None:
        some = np.linspace(0, len(pool) - 1, min(len(pool), _SAMPLE)).astype(np.int64)
        sample = np.asarray(pool[some], dtype=np.float64)
        _, basis = np.linalg.eigh(sample.T @ sample)
        self.basis = np.ascontiguousarray(basis[:, ::-1], dtype=np.float32)
        """[D, D], the component with the most of the pool first"""
        self._rotated = queries @ self.basis
        self._squares = np.einsum("ij,ij->i", queries, queries)
        self._kept: tuple[int, NDArray[np.float32]] | None = None

    def width(
        self, block: NDArray[np.float32], squares: NDArray[np.float32], thresholds: NDArray[np.float32]
    ) -> int | None:
        """The m that makes a block like this cheapest, from a sample of its pairs; None where no m saves work."""
        d, n = len(self.basis), len(self._rotated)
        rows = np.linspace(0, len(block) - 1, min(len(block), _ROWS)).astype(np.int64)
        some = np.linspace(0, n - 1, min(n, _QUERIES)).astype(np.int64)
        x, y = block[rows] @ self.basis, self._rotated[some]
        head = np.zeros((len(rows), len(some)), dtype=np.float32)
        best, cheapest, done = None, 0.9, 0
        for m in (w for w in _WIDTHS if w < d):
            head += x[:, done:m] @ y[:, done:m].T
            done = m
            rest = _rest(squares[rows], x[:, :m])[:, None] * _rest(self._squares[some], y[:, :m])[None, :]
            left = np.count_nonzero(head + rest >= thresholds[some]) / head.size
            cost = m / n + (m + 1) / d + _CHECK * left
            if cost < cheapest:
                best, cheapest = m, cost
        return best

    def of_pool(self, block: NDArray[np.float32], squares: NDArray[np.float32], m: int) -> NDArray[np.float32]:
        """[rows, m + 1]"""
        head = block @ self.basis[:, :m]
        return np.column_stack([head, _rest(squares, head)])

    def of_queries(self, m: int) -> NDArray[np.float32]:
        """[Q, m + 1]"""
        if self._kept is None or self._kept[0] != m:
            head = self._rotated[:, :m]
            self._kept = m, np.column_stack([head, _rest(self._squares, head)])
        return self._kept[1]


def _rest(squares: NDArray[np.float32], head: NDArray[np.float32]) -> NDArray[np.float32]:
    """Length of what the head leaves out, rounded up by more than float32 can be off."""
    left = squares - np.einsum("ij,ij->i", head, head)
    return np.sqrt(np.maximum(left, 0) + 1e-5 * squares)
