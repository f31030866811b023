"""Judgements from elsewhere into an annotation file."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import SeamError
from ._judgement import Judgement, standing
from .pairs import Pair
from .store import AnnotationStore


def matched(judgements: Iterable[Judgement], pairs: Sequence[Pair], path: Path) -> list[Judgement]:
    """The same, each with its pair's hash. Raises SeamError for an id that is no pair, or a hash of other texts."""
    keys = {pair.id: pair.key for pair in pairs}
    found = []
    for one in judgements:
        key = keys.get(one.id)
        if key is None or one.pair not in (None, key):
            what = "is none of the pairs" if key is None else "was judged with other texts"
            raise SeamError(f"{path}: id {one.id!r} {what}; import into the file that it was exported from.")
        found.append(one._replace(pair=key))
    return found


def take_up(store: AnnotationStore, judgements: Sequence[Judgement]) -> int:
    """Add what says something new, all or nothing; returns how many were added.

    A judgement that is there, or repeats the choice and comment that stand, adds nothing. One that is older than what
    stands becomes its history.
    """
    there = store.judgements(history=True)
    exact = set(there)
    stands = {(one.id, one.annotator): one for one in standing(there)}
    new: list[Judgement] = []
    for one in judgements:
        earlier = stands.get((one.id, one.annotator))
        same = earlier is not None and (earlier.choice, earlier.comment) == (one.choice, one.comment)
        if one in exact or same:
            continue
        new.append(one)
        if earlier is None or earlier.at <= one.at:
            stands[one.id, one.annotator] = one
    return store.add(new)
