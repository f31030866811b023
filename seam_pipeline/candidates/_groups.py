"""Which texts go through the model together."""

from collections.abc import Sequence
from itertools import pairwise

_ROWS = 64
_TOKENS = 16_384
"""Most tokens of a batch, shared ones included: their keys and values are copied for each row."""


def common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common beginning; at least the last token of `a` is left to compute."""
    most = min(len(a) - 1, len(b))
    for i in range(most):
        if a[i] != b[i]:
            return i
    return most


def groups(shared: Sequence[int], lengths: Sequence[int], overhead: int) -> list[list[int]]:
    """Cut texts into batches so that padded tokens are fewest; a batch costs `overhead` tokens of its own.

    A batch of texts that share s tokens at least and have l at most computes l - s of each. Texts are ordered by what
    they share and cut at the cheapest places (dynamic programming).
    """
    order = sorted(range(len(shared)), key=lambda i: (shared[i], lengths[i]))
    best, first = [0.0], [0]
    for end in range(1, len(order) + 1):
        longest, least, start = 0, float("inf"), end - 1
        for begin in range(end - 1, max(-1, end - 1 - _ROWS), -1):
            longest = max(longest, lengths[order[begin]])
            if begin < end - 1 and (end - begin) * longest > _TOKENS:
                break
            cost = best[begin] + (end - begin) * (longest - shared[order[begin]]) + overhead
            if cost < least:
                least, start = cost, begin
        best.append(least)
        first.append(start)
    cuts = [len(order)]
    while cuts[-1] > 0:
        cuts.append(first[cuts[-1]])
    return [order[begin:end] for end, begin in pairwise(cuts)][::-1]
