"""Cutting token lists to what a model can read."""

from collections.abc import Collection, Sequence


def n_leading(ids: Sequence[int], special: Collection[int]) -> int:
    """How many special tokens (such as begin-of-text) come first."""
    return next((place for place, token in enumerate(ids) if token not in special), len(ids))


def cut_left(ids: Sequence[int], longest: int | None, special: Collection[int]) -> tuple[list[int], int]:
    """At most `longest` tokens, and how many were cut: behind the leading special tokens, which stay.

    At least one token is left beside the special ones, even if that is more than `longest`.
    """
    head = n_leading(ids, special)
    cut = 0 if longest is None else max(0, min(len(ids) - longest, len(ids) - head - 1))
    return [*ids[:head], *ids[head + cut :]], cut
