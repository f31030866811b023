"""PWWS: every word's best substitute, found once, put in by saliency times gain."""

from typing import Any

import numpy as np

from ._recipe import Enough, Recipe, SourceSwap, build, limit, share
from ._resources import Resources
from ._textattack import GreedyWordSwapWIR, RepeatModification, WordEmbeddingDistance

_EVERY = 2
"""A successful plan is also tried cut short by so many swaps at a time."""

Options = dict[int, list[tuple[float, str]]]


def pwws(resources: Resources) -> Recipe:
    """Probability weighted word saliency (Ren et al. 2019), without its swaps of named entities.

    As in the paper, each word's best substitute is found once on the unchanged text and the words are replaced in the
    order softmax(saliency) x gain; a restart does so on a random share of the words with substitutes drawn among those
    that raise the reward. Synonyms: `resources.synonyms`, WordNet in the paper.
    """
    settings, source = resources.settings.resources, resources.thesaurus
    near = []
    if source is resources.embedding:
        near = [WordEmbeddingDistance(embedding=source, min_cos_sim=settings.min_cosine)]
    swap = SourceSwap(source, settings.neighbours)
    method = GreedyWordSwapWIR(wir_method="weighted-saliency")
    return build(swap, method, source, _walk, near, before=[RepeatModification()])


def _walk(recipe: Recipe, text: Any, rng: np.random.Generator, restarts: int, enough: Enough) -> None:
    goal = recipe.goal
    order, options = rank(recipe, text, limit(recipe, recipe.positions(text)))
    plans = [_plan(order, options, rng, restart) for restart in range(restarts)] if order else []
    plans = [plan for plan in plans if plan]
    _, spent = goal.get_results([_apply(recipe, text, plan) for plan in plans])
    for plan in plans:
        if spent or enough():
            return
        if _apply(recipe, text, plan).text in goal.successes:
            shorter = [_apply(recipe, text, plan[:end]) for end in range(len(plan) - _EVERY, 0, -_EVERY)]
            _, spent = goal.get_results(shorter)


def rank(recipe: Recipe, text: Any, positions: list[int]) -> tuple[list[int], Options]:
    """Positions in the order of replacement, and for each its substitutes that raise the reward, best first."""
    goal = recipe.goal
    swaps = {i: found for i in positions if (found := recipe.swaps(text, i))}
    masked = [text.replace_word_at_index(i, recipe.attack.search_method.unk_token) for i in swaps]
    results, _ = goal.get_results([text, *masked, *(t for found in swaps.values() for t in found)])
    score = {r.attacked_text.text: r.score for r in results}
    start = score.get(text.text, -1.0)
    saliency = np.exp([score.get(t.text, start) for t in masked])
    options: Options = {}
    weight: dict[int, float] = {}
    for i, salient in zip(swaps, saliency / saliency.sum() if len(saliency) else [], strict=True):
        better = [(score[t.text], t.words[i]) for t in swaps[i] if score.get(t.text, start) > start]
        if better:
            options[i] = sorted(better, key=lambda option: (-option[0], option[1]))
            weight[i] = float(salient) * (options[i][0][0] - start)
    return sorted(options, key=lambda i: (-weight[i], i)), options


def _plan(order: list[int], options: Options, rng: np.random.Generator, restart: int) -> list[tuple[int, str]]:
    if restart == 0:
        return [(i, options[i][0][1]) for i in order]
    return [(i, options[i][int(rng.integers(len(options[i])))][1]) for i in share(order, rng, restart)]


def _apply(recipe: Recipe, text: Any, plan: list[tuple[int, str]]) -> Any:
    changed = text.replace_words_at_indices([i for i, _ in plan], [word for _, word in plan])
    changed.attack_attrs["last_transformation"] = recipe.attack.transformation
    return changed
