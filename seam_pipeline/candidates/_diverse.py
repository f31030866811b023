"""Choosing texts that differ from each other."""

from collections.abc import Sequence

import numpy as np


def spread(words: Sequence[Sequence[str]], origin: Sequence[str], n: int, min_distance: int = 2) -> list[int]:
    """Indices of at most n texts, farthest-first (max-min) by the number of words in which they differ.

    words: equally long word lists. The first is the one nearest to `origin`; each next one is the farthest from those
    chosen, ties by index; texts nearer than `min_distance` words to a chosen one are left out.
    """
    if not words or n < 1:
        return []
    code: dict[str, int] = {}
    table = np.array([[code.setdefault(w, len(code)) for w in row] for row in words], dtype=np.int32)
    start = np.array([code.setdefault(w, len(code)) for w in origin], dtype=np.int32)
    chosen = [int((table != start).sum(axis=1).argmin())]
    nearest = (table != table[chosen[0]]).sum(axis=1)
    while len(chosen) < n and nearest.max() >= min_distance:
        best = int(nearest.argmax())
        chosen.append(best)
        nearest = np.minimum(nearest, (table != table[best]).sum(axis=1))
    return chosen
