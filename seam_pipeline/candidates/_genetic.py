"""GA: the improved genetic algorithm of Wang et al. 2019."""

from typing import Any

import numpy as np

from ._recipe import Enough, Recipe, build, limit, share
from ._resources import Resources
from ._textattack import (
    ImprovedGeneticAlgorithm,
    MaxWordsPerturbed,
    PopulationMember,
    WordEmbeddingDistance,
    WordSwapEmbedding,
)

_SHARE, _POPULATION, _GENERATIONS, _FEWEST = 0.2, 60, 20, 6
_PLANNED = 4
"""Generations that the budget shall reach for when the population is cut to it."""


class Genetic(ImprovedGeneticAlgorithm):
    """TextAttack's algorithm with its parents drawn towards high scores, word 0 treated like the others, its own random
    numbers, children that keep to the constraints, and a generation's children read in one batch.

    TextAttack draws parents by exp(-score / temp) though the paper, and its own score, want high ones; takes index 0
    for "no index"; and lets children exceed the share of words that may change.
    """

    def __init__(self) -> None:
        super().__init__(pop_size=_POPULATION, max_iters=_GENERATIONS, post_crossover_check=False)
        self.rng = np.random.default_rng(0)
        self.positions: list[int] | None = None
        self.enough: Enough = lambda: False

    def perform_search(self, initial_result: Any) -> Any:
        """Generations until the budget is spent, or `enough`; the best result."""
        self._search_over = False
        population = self._initialize_population(initial_result, self.pop_size)
        for _ in range(self.max_iters):
            population.sort(key=lambda member: -member.score)
            if self._search_over or len(population) < 2 or self.enough():
                break
            children = [self._perturb(child, initial_result) for child in self._children(population, initial_result)]
            population = [population[0], *children]
        return max([m.result for m in population] or [initial_result], key=lambda result: result.score)

    def parents(self, scores: list[float], pairs: int) -> Any:
        """Indices [pairs, 2] drawn by softmax(score / temp)."""
        weights = np.exp((np.array(scores) - max(scores)) / self.temp)
        return self.rng.choice(len(scores), size=(pairs, 2), p=weights / weights.sum())

    def _children(self, population: list[Any], initial_result: Any) -> list[Any]:
        """One child fewer than the population; a child against the rules gives way to its first parent."""
        original, children = initial_result.attacked_text, []
        for first, second in self.parents([m.score for m in population], len(population) - 1):
            text, attributes = self._crossover_operation(population[first], population[second])
            if text.text == population[first].attacked_text.text or not self._allowed(text, original):
                children.append(population[first])
            else:
                children.append(PopulationMember(text, attributes=attributes))
        fresh = [child for child in children if child.result is None]
        results, self._search_over = self.get_goal_results([child.attacked_text for child in fresh])
        for child, result in zip(fresh, results, strict=False):
            child.result = result
        return [child for child in children if child.result is not None]

    def _allowed(self, text: Any, original: Any) -> bool:
        changed = sum(a != b for a, b in zip(text.words, original.words, strict=True))
        return 0 < changed <= int(np.ceil(_SHARE * len(original.words)))

    def _crossover_operation(self, pop_member1: Any, pop_member2: Any) -> Any:
        """The first parent up to a random word, the second from there on."""
        cut = int(self.rng.integers(0, pop_member1.num_words))
        places = [i for i in range(cut, pop_member1.num_words) if pop_member1.words[i] != pop_member2.words[i]]
        left = pop_member1.attributes["num_replacements_left"].copy()
        left[cut:] = pop_member2.attributes["num_replacements_left"][cut:]
        words = [pop_member2.words[i] for i in places]
        text = pop_member1.attacked_text.replace_words_at_indices(places, words)
        for parent in (pop_member1, pop_member2):
            if kind := parent.attacked_text.attack_attrs.get("last_transformation"):
                text.attack_attrs["last_transformation"] = kind
        return text, {"num_replacements_left": left}

    def _perturb(self, pop_member: Any, original_result: Any, index: int | None = None) -> Any:
        """One word, at `index` or drawn by how often it may still change, replaced by what raises the score most."""
        weights = pop_member.attributes["num_replacements_left"].astype(float)
        while weights.sum() > 0 and not self._search_over:
            place = index if index is not None else int(self.rng.choice(len(weights), p=weights / weights.sum()))
            texts = self.get_transformations(
                pop_member.attacked_text, original_text=original_result.attacked_text, indices_to_modify=[place]
            )
            results, self._search_over = self.get_goal_results(texts) if texts else ([], self._search_over)
            best = max(results, key=lambda result: result.score, default=None)
            if best is not None and best.score > pop_member.score:
                return self._modify_population_member(pop_member, best.attacked_text, best, place)
            if index is not None:
                break
            weights[place] = 0
        return pop_member

    def _initialize_population(self, initial_result: Any, pop_size: int) -> list[Any]:
        """Each word replaced by its best substitute; the best texts of these."""
        words = initial_result.attacked_text.words
        positions = range(len(words)) if self.positions is None else self.positions
        left = np.zeros(len(words), dtype=int)
        left[list(positions)] = self.max_replace_times_per_index
        start = PopulationMember(initial_result.attacked_text, initial_result, {"num_replacements_left": left})
        members = [self._perturb(start, initial_result, index=i) for i in positions]
        members = [m for m in members if m is not start]
        return sorted(members, key=lambda member: -member.score)[:pop_size]


def ga(resources: Resources) -> Recipe:
    """Improved genetic algorithm (Wang, Jin and He 2019): neighbours, at most 20% of the words, five swaps per word.

    The population (60 in the paper) shrinks to what the budget can feed for four generations; a restart works on a
    random share of the words.
    """
    settings, embedding = resources.settings.resources, resources.embedding
    near = WordEmbeddingDistance(
        embedding=embedding, min_cos_sim=settings.ga_min_cosine, compare_against_original=False
    )
    swap = WordSwapEmbedding(max_candidates=settings.neighbours, embedding=embedding)
    return build(swap, Genetic(), embedding, _evolve, [MaxWordsPerturbed(max_percent=_SHARE), near])


def _evolve(recipe: Recipe, text: Any, rng: np.random.Generator, restarts: int, enough: Enough) -> None:
    method, goal = recipe.attack.search_method, recipe.goal
    positions = limit(recipe, recipe.positions(text))
    each = _PLANNED * (1 + recipe.attack.transformation.max_candidates)
    method.pop_size = max(_FEWEST, min(_POPULATION, goal.queries_left // 2 // each))
    method.rng, method.enough = rng, enough
    for restart in range(restarts):
        if goal.queries_left == 0 or enough():
            return
        method.positions = share(positions, rng, restart)
        recipe.mask.allowed = set(method.positions)
        (start, *_), spent = goal.get_results([text])
        if method.positions and not spent:
            method(start)
