"""Token sequences folded into a prefix tree: shared beginnings are computed once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Segment:
    """The part [start, stop) of a sequence that no sequence before it has; `path` are the nodes of [0, stop)."""

    path: Ids
    start: int

    @property
    def length(self) -> int:
        """Nodes that belong to this segment alone."""
        return len(self.path) - self.start


@dataclass(frozen=True)
class Tree:
    """N nodes: `tokens` [N], `depths` [N] (position in the sequence), and each sequence's nodes in `paths`."""

    tokens: Ids
    depths: Ids
    paths: list[Ids]
    segments: list[Segment]


def common_prefix(a: Ids, b: Ids) -> int:
    """Length of the longest common beginning."""
    n = min(len(a), len(b))
    differs = a[:n] != b[:n]
    return int(differs.argmax()) if differs.any() else n


def grow(sequences: Sequence[Ids]) -> Tree:
    """Each sequence shares nodes with the one before it, as far as their tokens agree.

    In lexicographic order that is all there is to share; in another order the tree is right, only larger.
    Sequences must not be empty.
    """
    tokens, depths, paths, segments = [], [], [], []
    before, path, n = np.empty(0, np.int64), np.empty(0, np.int64), 0
    for sequence in sequences:
        shared = common_prefix(before, sequence)
        fresh = len(sequence) - shared
        path = np.concatenate([path[:shared], np.arange(n, n + fresh)])
        if fresh:
            tokens.append(sequence[shared:])
            depths.append(np.arange(shared, len(sequence)))
            segments.append(Segment(path, shared))
        paths.append(path)
        before, n = sequence, n + fresh
    return Tree(np.concatenate(tokens), np.concatenate(depths), paths, segments)


def lexicographic(sequences: Sequence[Ids]) -> list[int]:
    """Order in which neighbours share most."""
    return sorted(range(len(sequences)), key=lambda place: sequences[place].tolist())
