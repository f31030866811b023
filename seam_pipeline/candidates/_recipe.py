"""A recipe: an attack put together from TextAttack's parts, and the search that runs it without stopping at success."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ._goal import BeatsGolden
from ._textattack import Attack, PreTransformationConstraint, StopwordModification, WordSwap, stop_words

Enough = Callable[[], bool]
Search = Callable[["Recipe", Any, np.random.Generator, int, Enough], None]

_KEEP_SHARES = (1.0, 0.5, 0.75)
"""Share of the positions that a restart may change: all at first, then by turns three quarters and half."""


class Words(Protocol):
    """A source of substitutes."""

    def has(self, word: str) -> bool:
        """Whether there is a substitute for this word."""

    def words(self, word: str, most: int) -> list[str]:
        """At most `most` substitutes in lower case, best first."""


class AnyWord:
    """Stands for a source that depends on the context: every word of letters may have a substitute."""

    def has(self, word: str) -> bool:
        """Two letters or more, and nothing else."""
        return len(word) > 1 and word.isascii() and word.isalpha()

    def words(self, word: str, most: int) -> list[str]:
        """None without a context."""
        return []


class SourceSwap(WordSwap):
    """TextAttack's word swap with the substitutes of a source, in the word's own case."""

    def __init__(self, source: Words, max_candidates: int) -> None:
        super().__init__()
        self.source, self.max_candidates = source, max_candidates

    def _get_replacement_words(self, word: str) -> list[str]:
        return [cased(w, word) for w in self.source.words(word.lower(), self.max_candidates)]


class Mask(PreTransformationConstraint):
    """Only these word positions may change."""

    def __init__(self) -> None:
        self.allowed: set[int] = set()

    def _get_modifiable_indices(self, current_text: Any) -> set[int]:
        return self.allowed


@dataclass
class Recipe:
    """An attack, and the search that runs its restarts and fills the goal's successes.

    search(recipe, text, rng, restarts, enough) keeps to the goal's budget of queries and ends early at `enough`.
    """

    attack: Any
    goal: BeatsGolden
    mask: Mask
    synonyms: Words
    search: Search

    def __post_init__(self) -> None:
        self.most: int = self.attack.transformation.max_candidates
        """Substitutes per word where the budget allows."""

    def positions(self, text: Any) -> list[int]:
        """Words that are no function words, stand in no link, and have a substitute."""
        stop, words, links = stop_words(), [w.lower() for w in text.words], text.in_links()
        return [i for i, w in enumerate(words) if w not in stop and i not in links and self.synonyms.has(w)]

    def swaps(self, text: Any, position: int) -> list[Any]:
        """The text with one word replaced, constraints met."""
        self.mask.allowed = {position}
        return self.attack.get_transformations(text, original_text=text, indices_to_modify=[position])


def build(
    swap: Any, method: Any, words: Words, search: Search, constraints: Iterable[Any] = (), before: Iterable[Any] = ()
) -> Recipe:
    """A recipe that leaves function words alone; `before` are further constraints on positions."""
    goal, mask = BeatsGolden(), Mask()
    rules = [*before, StopwordModification(stop_words()), mask, *constraints]
    return Recipe(Attack(goal, rules, swap, method), goal, mask, words, search)


def greedy(recipe: Recipe, text: Any, rng: np.random.Generator, restarts: int, enough: Enough) -> None:
    """TextAttack's own search, once on all positions and then on random shares of them."""
    positions = limit(recipe, recipe.positions(text))
    for restart in range(restarts):
        if recipe.goal.queries_left == 0 or enough():
            return
        run(recipe, text, share(positions, rng, restart))


def run(recipe: Recipe, text: Any, positions: Iterable[int]) -> None:
    """TextAttack's own search on these positions."""
    recipe.mask.allowed = set(positions)
    start, spent = recipe.goal.get_results([text])
    if recipe.mask.allowed and not spent:
        recipe.attack.search_method(start[0])


def share(positions: Sequence[int], rng: np.random.Generator, restart: int) -> list[int]:
    """All positions at first, then a random part of them."""
    part = _KEEP_SHARES[0 if restart == 0 else 1 + restart % 2]
    return [i for i in positions if part == 1 or rng.random() < part]


def limit(recipe: Recipe, positions: list[int]) -> list[int]:
    """Fit the first look at all words into half of the budget: fewer substitutes, then only words spread over it."""
    queries = recipe.goal.queries_left // 2
    if 2 * len(positions) > queries:
        many = max(1, queries // 2)
        positions = [positions[k * len(positions) // many] for k in range(many)] if many < len(positions) else positions
    fits = max(1, queries // max(1, len(positions)) - 1)
    recipe.attack.transformation.max_candidates = min(recipe.most, fits)
    return positions


def cased(word: str, like: str) -> str:
    """`word` in capitals, or with one, where `like` is."""
    if like.isupper() and len(like) > 1:
        return word.upper()
    return word.capitalize() if like[:1].isupper() and like[1:].islower() else word
