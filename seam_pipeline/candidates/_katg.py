"""An approximation of KATG, whose code and full text are not public."""

from typing import Any

import numpy as np

from ._keywords import Keywords
from ._recipe import Enough, Recipe, SourceSwap, build, limit, run, share
from ._resources import Resources
from ._synonyms import Synonyms
from ._textattack import GreedyWordSwapWIR, RepeatModification

_PRIORS, _NEAREST = 20, 8


class LikedWords:
    """The liked words of some prior texts, nearest to a given word first."""

    def __init__(self, keywords: Keywords, embedding: Synonyms) -> None:
        self._keywords, self._embedding = keywords, embedding
        self.use(list(range(len(keywords.texts))))

    def use(self, priors: list[int]) -> None:
        """Take the liked words of these texts of the pool."""
        self._names = sorted({word for i in priors for word in self._keywords.words[i]})
        vectors = [self._keywords.word_vectors[name] for name in self._names]
        self._vectors = np.stack(vectors) if vectors else np.zeros((0, 1), dtype=np.float32)
        self._known: dict[str, list[str]] = {}

    def has(self, word: str) -> bool:
        """Whether the embedding knows the word, and another one is liked."""
        return bool(self._near(word.lower()))

    def words(self, word: str, most: int) -> list[str]:
        """At most `most` liked words other than `word`."""
        return self._near(word.lower())[:most]

    def _near(self, word: str) -> list[str]:
        place = self._embedding._word2index.get(word)
        if place is None or not self._names:
            return []
        if word not in self._known:
            cosines = self._vectors @ self._embedding.embedding_matrix[place]
            order = np.lexsort((np.arange(len(cosines)), -cosines))[: _NEAREST + 1]
            self._known[word] = [self._names[i] for i in order if self._names[i] != word][:_NEAREST]
        return self._known[word]


def katg(resources: Resources) -> Recipe:
    """APPROXIMATION of KATG (Shen et al. 2022, keyword-bias-aware adversarial text generation).

    Public are only its abstract and summaries: a generator and a discriminator, conditioned on prior sentences chosen
    by keyword bias. Here the bias of a word is the z-score of the reward of the pool's texts with and without it
    (`keyword_bias`); each restart draws prior texts by bias and similarity, offers their liked words nearest to each
    word, and TextAttack's greedy search takes those that the reward model, as discriminator, likes best. No generator
    is trained. The pool's rewards are read once per run, outside of all budgets (`Attacks.pool_queries`).
    """
    source = LikedWords(resources.keywords, resources.embedding)
    search = _FromPriors(resources.keywords, source)
    method = GreedyWordSwapWIR(wir_method="delete")
    return build(
        SourceSwap(source, _NEAREST), method, source, search, [resources.tagger()], before=[RepeatModification()]
    )


class _FromPriors:
    def __init__(self, keywords: Keywords, source: LikedWords) -> None:
        self._keywords, self._source = keywords, source

    def __call__(self, recipe: Recipe, text: Any, rng: np.random.Generator, restarts: int, enough: Enough) -> None:
        positions = limit(recipe, recipe.positions(text))
        for restart in range(restarts):
            if recipe.goal.queries_left == 0 or enough():
                break
            self._source.use(self._keywords.priors(text.text, _PRIORS, rng))
            recipe.attack.clear_cache(recursive=False)
            run(recipe, text, share(positions, rng, restart))
        self._source.use(list(range(len(self._keywords.texts))))
