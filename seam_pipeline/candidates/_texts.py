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
        self._bags: list[Counter[str]] = []
        for text in taken:
            self.add(text)

    def add(self, text: str) -> bool:
        """Take the text unless it equals one taken before, or shares `near` of its words with it (multiset Jaccard).

        With `near` 1 only layout is ignored, and the order of words counts.
        """
        key, bag = normalised(text), Counter(_words(text))
        if key in self._seen or (self._near < 1 and any(_near(bag, other, self._near) for other in self._bags)):
            return False
        self._seen.add(key)
        self._bags.append(bag)
        return True


def _near(a: Counter[str], b: Counter[str], share: float) -> bool:
    size_a, size_b = a.total(), b.total()
    if not size_a or min(size_a, size_b) < share * max(size_a, size_b):
        return False
    shared = (a & b).total()
    return shared >= share * (size_a + size_b - shared)
