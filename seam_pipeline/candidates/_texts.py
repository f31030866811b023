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

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._seen: set[str] = set()
        self._bags: list[Counter[str]] = []
        for text in taken:
            self.add(text)

    def add(self, text: str) -> bool:
        """Take the text unless it equals or nearly equals (multiset Jaccard >= 0.95) one taken before."""
        key, bag = normalised(text), Counter(_words(text))
        if key in self._seen or any(_near(bag, other) for other in self._bags):
            return False
        self._seen.add(key)
        self._bags.append(bag)
        return True


def _near(a: Counter[str], b: Counter[str]) -> bool:
    size_a, size_b = a.total(), b.total()
    if not size_a or min(size_a, size_b) < NEAR_DUPLICATE * max(size_a, size_b):
        return False
    shared = (a & b).total()
    return shared >= NEAR_DUPLICATE * (size_a + size_b - shared)
