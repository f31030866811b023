"""Which sequences share a forward pass: a token budget, longest first."""

from collections.abc import Sequence
from itertools import pairwise

from ._tree import Ids, common_prefix, lexicographic

Member = tuple[int, int]
"""(group, place in the group) of a sequence."""


def packed_batches(groups: Sequence[Sequence[Ids]], budget: int) -> list[list[Member]]:
    """Batches of at most `budget` tree nodes, whole groups together where they fit, the largest groups first.

    A group larger than the budget is split, and its shared beginning computed once per part; a single longer
    sequence is a batch of its own. Inside a batch, neighbours share most (see `_tree.grow`).
    """
    batches: list[list[Member]] = []
    room = 0
    known = [_ordered(number, group) for number, group in enumerate(groups) if group]
    for group, order, fresh in sorted(known, key=lambda g: (-sum(g[2]), g[0])):
        fits, restart = sum(fresh) <= room, True
        for place, nodes in zip(order, fresh, strict=True):
            if not fits and (restart or nodes > room):
                batches.append([])
                room = budget
                nodes = len(groups[group][place])
                restart = False
            batches[-1].append((group, place))
            room -= nodes
    return batches


def _ordered(number: int, group: Sequence[Ids]) -> tuple[int, list[int], list[int]]:
    """(group, order of its sequences, nodes that each adds to those before it)."""
    order = lexicographic(group)
    shared = [0, *(common_prefix(group[a], group[b]) for a, b in pairwise(order))]
    return number, order, [len(group[place]) - s for place, s in zip(order, shared, strict=True)]


def padded_batches(groups: Sequence[Sequence[Ids]], budget: int, alone_above: int | None) -> list[list[Member]]:
    """Batches of at most `budget` tokens, padding included, sorted by length; those above `alone_above` one by one."""
    members = [(g, place) for g, group in enumerate(groups) for place in range(len(group))]
    batches: list[list[Member]] = []
    width = 0
    for g, place in sorted(members, key=lambda m: (-len(groups[m[0]][m[1]]), m)):
        length = len(groups[g][place])
        alone = alone_above is not None and width > alone_above
        if not batches or alone or (len(batches[-1]) + 1) * width > budget:
            batches.append([])
            width = length
        batches[-1].append((g, place))
    return batches
