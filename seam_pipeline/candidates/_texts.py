"""When two answers count as the same."""

import re
from collections import Counter
from collections.abc import Iterable

NEAR_DUPLICATE = 0.95
"""Shared words over all words (with repetition) from which two answers are one: 40 words may differ in one."""


def normalised(text: str) -> str:
    """The text's letters and digits in lower case, other signs as one space: equal for mere layout changes."""
    return " ".join(_words(text)) or " ".join(text.split())


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


class Distinct:
    """Answers taken so far; tells whether another one is new."""

    def __init__(self, taken: Iterable[str] = (), near: float = NEAR_DUPLICATE) -> None:
        self._near = near
        self._seen: set[str] = set()
        self._bags: list[tuple[Counter[str], int]] = []
        for text in taken:
            self.add(text)

    def add(self, text: str) -> bool:
        """Take the text unless it equals one taken before, or shares `near` of its words with it (multiset Jaccard).

        With `near` 1 only layout is ignored, and the order of words counts.
        """
        key, words = normalised(text), _words(text)
        bag, size = Counter(words), len(words)
        if key in self._seen or (self._near < 1 and any(_near(bag, size, *b, self._near) for b in self._bags)):
            return False
        self._seen.add(key)
        self._bags.append((bag, size))
        return True


def _near(a: Counter[str], size_a: int, b: Counter[str], size_b: int, share: float) -> bool:
    """Whether the bags share enough; a few words tell for most pairs, since few may be lacking."""
    if not size_a or min(size_a, size_b) < share * max(size_a, size_b):
        return False
    lacking, allowed = 0, size_a - share / (1 + share) * (size_a + size_b) + 1e-6
    for word, count in a.items():
        lacking += max(0, count - b.get(word, 0))
        if lacking > allowed:
            return False
    shared = size_a - lacking
    return shared >= share * (size_a + size_b - shared)
