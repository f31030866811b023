"""Ranks from ordered pairs, for sources that say "better than" and give no votes."""

from typing import NamedTuple


class Ranks(NamedTuple):
    """`level` per answer (0 is the lowest; None: its order is not given); `contradictions` counts dropped pairs."""

    level: list[int | None]
    contradictions: int


def rank_answers(count: int, pairs: list[tuple[int, int]]) -> Ranks:
    """Levels for the answers 0..count-1 such that *every* difference of level follows from the (better, worse) pairs.

    An answer's level is the longest chain of worse answers below it. Answers that would then be compared with others
    without a pair, or chain of pairs, that says so, get None: first the longest chain is kept, then, in order, each
    further answer that fits a level. Pairs of a cycle contradict each other and are dropped.
    """
    below = _closure(count, pairs)
    sound = [(a, b) for a, b in dict.fromkeys(pairs) if not below[b] >> a & 1]
    contradictions = len(pairs) - sum((a, b) in set(sound) for a, b in pairs)
    if contradictions:
        below = _closure(count, sound)
    height = _heights(count, below)
    if _implied(range(count), height, below):
        return Ranks(list(height), contradictions)
    kept = _longest_chain(count, height, below)
    level: dict[int, int] = {answer: height[answer] for answer in kept}
    for answer in range(count):
        if answer in level:
            continue
        for candidate in sorted(set(level.values()), reverse=True):
            if _fits(answer, candidate, level, below):
                level[answer] = candidate
                break
    return Ranks([level.get(answer) for answer in range(count)], contradictions)


def _closure(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    """Bit b of entry a: a is better than b, directly or through others."""
    below = [0] * count
    for a, b in pairs:
        below[a] |= 1 << b
    for middle in range(count):
        for a in range(count):
            if below[a] >> middle & 1:
                below[a] |= below[middle]
    return below


def _heights(count: int, below: list[int]) -> list[int]:
    height = [0] * count
    for answer in sorted(range(count), key=lambda a: below[a].bit_count()):
        height[answer] = max((height[b] + 1 for b in range(count) if below[answer] >> b & 1), default=0)
    return height


def _implied(answers: range, height: list[int], below: list[int]) -> bool:
    return all(below[a] >> b & 1 for a in answers for b in answers if height[a] > height[b])


def _longest_chain(count: int, height: list[int], below: list[int]) -> list[int]:
    chain = [max(range(count), key=lambda a: (height[a], -a))]
    while height[chain[-1]]:
        top = chain[-1]
        chain.append(next(b for b in range(count) if below[top] >> b & 1 and height[b] == height[top] - 1))
    return chain


def _fits(answer: int, candidate: int, level: dict[int, int], below: list[int]) -> bool:
    return all(
        other == candidate or (below[kept] >> answer & 1 if other > candidate else below[answer] >> kept & 1)
        for kept, other in level.items()
    )
