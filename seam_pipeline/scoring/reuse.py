"""Row-level reuse: a sequence that this model has scored before is read from a cache, not computed again."""

import hashlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..rowcache import RowCache
from ._tree import Ids, common_prefix, lexicographic

Floats = NDArray[np.float64]
T = TypeVar("T")


class Reuse:
    """One model's numbers by token sequence, kept in a row cache, with counters of what was computed.

    The key holds the model's content and precision and the very tokens that are read, so whatever changes them
    (the row, the tokenizer, a cut) is in it; batch size, layout and device are not.
    """

    def __init__(self, cache: RowCache, content: str, model: Any) -> None:
        """`content` as `models.content.model_content` gives it."""
        quantised = getattr(model.config, "quantization_config", None)
        self._cache = cache
        self._salt = repr((content, str(next(model.parameters()).dtype), str(quantised or ""))).encode()
        self.tokens_asked = 0
        self.tokens_computed = 0
        """Shared beginnings within an instruction count once, as the packed layout computes them."""

    @property
    def notes(self) -> dict[str, int]:
        """The counters, for an artifact's record."""
        return {"tokens": self.tokens_asked, "tokens_computed": self.tokens_computed}

    def values(
        self,
        what: str,
        groups: Sequence[Sequence[T]],
        tokens: Callable[[T], tuple[Ids, int]],
        compute: Callable[[list[list[T]]], Sequence[Floats]],
    ) -> list[Floats]:
        """One number per member of each group; `compute` gets the same groups without the members known already.

        `tokens` gives a member's ids and how many of them are context. What was computed is kept when this returns.
        """
        ids = [[tokens(member) for member in group] for group in groups]
        keys = [[self._key(what, *member) for member in group] for group in ids]
        known = self._cache.find(key for group in keys for key in group)
        missing = [[place for place, key in enumerate(group) if key not in known] for group in keys]
        self.tokens_asked += sum(_nodes([member for member, _ in group]) for group in ids)
        self.tokens_computed += sum(
            _nodes([group[place][0] for place in places]) for group, places in zip(ids, missing, strict=True)
        )
        found = compute([[group[place] for place in places] for group, places in zip(groups, missing, strict=True)])
        fresh = {
            group[place]: np.float64(value).tobytes()
            for group, places, numbers in zip(keys, missing, found, strict=True)
            for place, value in zip(places, numbers, strict=True)
        }
        self._cache.keep(fresh)
        known |= fresh
        return [np.frombuffer(b"".join(known[key] for key in group), np.float64) for group in keys]

    def _key(self, what: str, ids: Ids, context: int) -> bytes:
        text = b"\0".join([what.encode(), self._salt, str(context).encode(), ids.astype("<i4").tobytes()])
        return hashlib.sha256(text).digest()[:16]


def _nodes(sequences: Sequence[Ids]) -> int:
    """Tokens of the prefix tree of some sequences."""
    ordered = [sequences[place] for place in lexicographic(sequences)]
    return sum(map(len, ordered)) - sum(common_prefix(a, b) for a, b in pairwise(ordered))
