"""BERT-Attack: words that a bidirectional model predicts in their place."""

from typing import Any

import numpy as np

from ._context import ContextWords
from ._recipe import AnyWord, Enough, Recipe, build, cased, greedy
from ._resources import Resources
from ._sentences import Similarity
from ._textattack import GreedyWordSwapWIR, MaxWordsPerturbed, RepeatModification, WordSwap

_SHARE = 0.4
"""Most words that may change (TextAttack's BERTAttackLi2020, after the authors)."""


class ContextSwap(WordSwap):
    """Substitutes from one reading of the unchanged text, as in the authors' code; a swap does not renew them."""

    def __init__(self, source: ContextWords, max_candidates: int) -> None:
        super().__init__()
        self.source, self.max_candidates, self._most = source, max_candidates, max_candidates
        self._start, self._options = "", dict[int, list[str]]()

    def _get_transformations(self, current_text: Any, indices_to_modify: Any) -> list[Any]:
        options = self._of(current_text)
        return [
            current_text.replace_word_at_index(i, cased(word, current_text.words[i]))
            for i in sorted(indices_to_modify)
            for word in options.get(i, [])[: self.max_candidates]
        ]

    def _of(self, text: Any) -> dict[int, list[str]]:
        while "previous_attacked_text" in text.attack_attrs:
            text = text.attack_attrs["previous_attacked_text"]
        if text.text != self._start:
            self._start, self._options = text.text, self.source.options(text, range(len(text.words)), self._most)
        return self._options


def bert_attack(resources: Resources) -> Recipe:
    """BERT-Attack (Li et al. 2020): words by importance when masked; at most 40% of them change.

    Predictions: `resources.masked_lm`. Texts that beat the golden response and whose sentence encoding is farther than
    `bert_attack_similarity` are dropped when they are found, as the authors filtered finished texts.
    """
    settings = resources.settings.resources
    swap = ContextSwap(resources.context, settings.candidates)
    method = GreedyWordSwapWIR(wir_method="unk")
    similarity = resources.similarity(settings.bert_attack_similarity, window=False)
    before, constraints = [RepeatModification()], [MaxWordsPerturbed(max_percent=_SHARE)]
    search = _Filtered(similarity)
    return build(swap, method, AnyWord(), search, constraints, before=before)


class _Filtered:
    """The greedy search; before each look at what was found, texts that say something else are taken out."""

    def __init__(self, similarity: Similarity) -> None:
        self._similarity = similarity

    def __call__(self, recipe: Recipe, text: Any, rng: np.random.Generator, restarts: int, enough: Enough) -> None:
        alike: dict[str, bool] = {}

        def enough_alike() -> bool:
            found = recipe.goal.successes
            new = [t for t in found if t not in alike]
            near = [value >= self._similarity.threshold for value in self._similarity.between(text.text, new)]
            alike.update(zip(new, near, strict=True))
            for other in [t for t in found if not alike[t]]:
                del found[other]
            return enough()

        greedy(recipe, text, rng, restarts, enough_alike)
        enough_alike()
