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
    """N nodes in depth-first order: `tokens` [N], `depths` [N] (position in the sequence), `ends` [N] and each
    sequence's nodes in `paths`. Node j is i or an ancestor of i exactly when j <= i < ends[j]."""

    tokens: Ids
    depths: Ids
    ends: Ids
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
    ends = np.empty(sum(map(len, sequences)), np.int64)
    for sequence in sequences:
        shared = common_prefix(before, sequence)
        fresh = len(sequence) - shared
        ends[path[shared:]] = n
        path = np.concatenate([path[:shared], np.arange(n, n + fresh)])
        if fresh:
            tokens.append(sequence[shared:])
            depths.append(np.arange(shared, len(sequence)))
            segments.append(Segment(path, shared))
        paths.append(path)
        before, n = sequence, n + fresh
    ends[path] = n
    return Tree(np.concatenate(tokens), np.concatenate(depths), ends[:n], paths, segments)


def narrow(tree: Tree, first: Sequence[int]) -> tuple[Ids, list[Segment]]:
    """Nodes of every sequence from its place `first` on, and the segments that hold them, begun at the first one."""
    needed = np.zeros(len(tree.tokens), np.bool_)
    for path, place in zip(tree.paths, first, strict=True):
        needed[path[place:]] = True
    starts = [(segment, segment.start + needed[segment.path[segment.start :]].argmax()) for segment in tree.segments]
    return np.flatnonzero(needed), [
        Segment(segment.path, int(start)) for segment, start in starts if needed[segment.path[start]]
    ]


def lexicographic(sequences: Sequence[Ids]) -> list[int]:
    """Order in which neighbours share most."""
    return sorted(range(len(sequences)), key=lambda place: sequences[place].tolist())
