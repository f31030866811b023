"""PWWS and TextFooler put together from TextAttack's parts, run as masked restarts that do not stop at success."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._goal import BeatsGolden
from ._synonyms import NEIGHBOURS, BundledTagger, Synonyms
from ._textattack import (
    Attack,
    AttackedText,
    GreedyWordSwapWIR,
    PreTransformationConstraint,
    RepeatModification,
    StopwordModification,
    WordEmbeddingDistance,
    WordSwapEmbedding,
    stop_words,
)

_KEEP_SHARES = (1.0, 0.5, 0.75)
"""Share of the positions that a restart may change: all at first, then by turns half and three quarters."""


class Mask(PreTransformationConstraint):
    """Only these word positions may change."""

    def __init__(self) -> None:
        self.allowed: set[int] = set()

    def _get_modifiable_indices(self, current_text: Any) -> set[int]:
        return self.allowed


@dataclass
class Recipe:
    """An attack, and the search that runs its restarts and fills the goal's successes."""

    attack: Any
    goal: BeatsGolden
    mask: Mask
    synonyms: Synonyms
    search: Callable[["Recipe", Any, np.random.Generator, int, Callable[[], bool]], None]

    def positions(self, text: Any) -> list[int]:
        """Words that are no function words, stand in no link, and have a neighbour."""
        stop, index, near = stop_words(), self.synonyms._word2index, self.synonyms.near
        words, links = [w.lower() for w in text.words], text.in_links()
        return [i for i, w in enumerate(words) if w not in stop and i not in links and near.get(index.get(w, -1))]

    def swaps(self, text: Any, position: int) -> list[Any]:
        """The text with one word replaced, constraints met."""
        self.mask.allowed = {position}
        return self.attack.get_transformations(text, original_text=text, indices_to_modify=[position])


def pwws(synonyms: Synonyms) -> Recipe:
    """Probability weighted word saliency (Ren et al. 2019), with neighbours in place of WordNet's synonyms.

    As in the paper, each word's best substitute is found once on the unchanged text and the words are replaced in the
    order softmax(saliency) x gain; a restart does so on a random share of the words with substitutes drawn among those
    that raise the reward.
    """
    search = GreedyWordSwapWIR(wir_method="weighted-saliency")
    return _recipe(synonyms, search, [], _walk)


def textfooler(synonyms: Synonyms) -> Recipe:
    """TextFooler (Jin et al. 2020): words by importance when deleted, the best of the neighbours with the same part of
    speech; without its sentence-encoder constraint.
    """
    search = GreedyWordSwapWIR(wir_method="delete")
    tagger = BundledTagger(allow_verb_noun_swap=True)
    return _recipe(synonyms, search, [tagger], _greedy)


RECIPES = {"pwws": pwws, "textfooler": textfooler}


def _recipe(synonyms: Synonyms, search_method: Any, constraints: list[Any], search: Any) -> Recipe:
    goal, mask = BeatsGolden(), Mask()
    before = [RepeatModification(), StopwordModification(stop_words()), mask]
    near = WordEmbeddingDistance(embedding=synonyms, min_cos_sim=0.3)
    swap = WordSwapEmbedding(max_candidates=NEIGHBOURS, embedding=synonyms)
    return Recipe(Attack(goal, [*before, near, *constraints], swap, search_method), goal, mask, synonyms, search)


def _limit(recipe: Recipe, positions: list[int], rng: np.random.Generator) -> list[int]:
    """Fit the first look at all words into half of the budget: fewer neighbours, then fewer positions."""
    half = recipe.goal.queries_left // 2
    if 2 * len(positions) > half:
        positions = sorted(rng.permutation(positions)[: max(1, half // 2)].tolist())
    recipe.attack.transformation.max_candidates = min(NEIGHBOURS, max(1, half // len(positions) - 1))
    return positions


def _walk(recipe: Recipe, text: Any, rng: np.random.Generator, restarts: int, enough: Callable[[], bool]) -> None:
    goal = recipe.goal
    order, options = _rank(recipe, text, _limit(recipe, recipe.positions(text), rng))
    plans = [_plan(order, options, rng, restart) for restart in range(restarts)] if order else []
    plans = [plan for plan in plans if plan]
    _, spent = goal.get_results([_apply(recipe, text, plan) for plan in plans])
    for plan in plans:
        if spent or enough():
            return
        if _apply(recipe, text, plan).text in goal.successes:
            shorter = [_apply(recipe, text, plan[:end]) for end in range(len(plan) - 2, 0, -2)]
            _, spent = goal.get_results(shorter)


def _rank(recipe: Recipe, text: Any, positions: list[int]) -> tuple[list[int], dict[int, list[tuple[float, str]]]]:
    """Positions in the order of replacement, and for each its substitutes that raise the reward, best first."""
    goal = recipe.goal
    swaps = {i: found for i in positions if (found := recipe.swaps(text, i))}
    masked = [text.replace_word_at_index(i, recipe.attack.search_method.unk_token) for i in swaps]
    results, _ = goal.get_results([text, *masked, *(t for found in swaps.values() for t in found)])
    score = {r.attacked_text.text: r.score for r in results}
    start = score.get(text.text, -1.0)
    saliency = np.exp([score.get(t.text, start) for t in masked])
    options: dict[int, list[tuple[float, str]]] = {}
    weight: dict[int, float] = {}
    for i, salient in zip(swaps, saliency / saliency.sum() if len(saliency) else [], strict=True):
        better = [(score[t.text], t.words[i]) for t in swaps[i] if score.get(t.text, start) > start]
        if better:
            options[i] = sorted(better, key=lambda option: (-option[0], option[1]))
            weight[i] = float(salient) * (options[i][0][0] - start)
    return sorted(options, key=lambda i: (-weight[i], i)), options


def _plan(
    order: list[int], options: dict[int, list[tuple[float, str]]], rng: np.random.Generator, restart: int
) -> list[tuple[int, str]]:
    if restart == 0:
        return [(i, options[i][0][1]) for i in order]
    share = _KEEP_SHARES[1 + restart % 2]
    return [(i, options[i][int(rng.integers(len(options[i])))][1]) for i in order if rng.random() < share]


def _apply(recipe: Recipe, text: Any, plan: list[tuple[int, str]]) -> Any:
    changed = text.replace_words_at_indices([i for i, _ in plan], [word for _, word in plan])
    changed.attack_attrs["last_transformation"] = recipe.attack.transformation
    return changed


def _greedy(recipe: Recipe, text: Any, rng: np.random.Generator, restarts: int, enough: Callable[[], bool]) -> None:
    positions = _limit(recipe, recipe.positions(text), rng)
    for restart in range(restarts):
        if recipe.goal.queries_left == 0 or enough():
            return
        share = _KEEP_SHARES[0 if restart == 0 else 1 + restart % 2]
        recipe.mask.allowed = {i for i in positions if restart == 0 or rng.random() < share}
        start, spent = recipe.goal.get_results([text])
        if recipe.mask.allowed and not spent:
            recipe.attack.search_method(start[0])


SPLIT_TOKEN: str = AttackedText.SPLIT_TOKEN
