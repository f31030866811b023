"""What the attacks know about language, loaded once per run and only if a recipe asks for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..errors import SeamError
from ..experiment import Adversarial
from ._response import Response
from ._synonyms import Synonyms
from ._tagger import tagger
from ._wordnet import WordNet

if TYPE_CHECKING:
    from ._context import ContextWords
    from ._keywords import Keywords, Pool
    from ._sentences import Similarity
    from ._textattack import PartOfSpeech


@dataclass
class Resources:
    """Sources of substitutes and constraints; `RECIPES[name](resources)` takes what it needs.

    settings: which source is in use. words: lower-case words whose neighbours are looked up in one go. pool: needed by
    `katg` alone.
    """

    settings: Adversarial
    words: frozenset[str]
    pool: "Pool | None" = None

    @classmethod
    def for_texts(cls, texts: Iterable[str], settings: Adversarial, pool: "Pool | None" = None) -> "Resources":
        """Resources for attacks on these texts; `Pool.of(rl, rm, settings)` makes the pool that `katg` needs."""
        return cls(settings, frozenset(w.lower() for text in texts for w in Response(text).words), pool)

    @cached_property
    def embedding(self) -> Synonyms:
        """Neighbours in a word embedding."""
        r = self.settings.resources
        return Synonyms(self.words, r.embedding, r.neighbours, min(r.min_cosine, r.ga_min_cosine))

    @cached_property
    def thesaurus(self) -> Synonyms | WordNet:
        """PWWS's synonyms."""
        folder = self.settings.resources.synonyms
        return self.embedding if folder == "embedding" else WordNet(folder)

    def tagger(self) -> "PartOfSpeech":
        """A part-of-speech constraint that lets nouns and verbs replace each other."""
        return tagger(self.settings.resources.tagger)

    @cached_property
    def context(self) -> "ContextWords":
        """BERT-Attack's predictions of words in their context."""
        from ._context import ContextWords

        return ContextWords(self.settings.resources.masked_lm, self.settings.resources.device)

    def similarity(self, threshold: float, *, window: bool) -> "Similarity":
        """A sentence-encoder constraint, over 15 words around a swap (by angle) or over whole texts (by cosine)."""
        from ._sentences import Similarity

        r = self.settings.resources
        return Similarity(r.sentence_encoder, threshold, window=window, device=r.device)

    @cached_property
    def keywords(self) -> "Keywords":
        """KATG's keywords; the first use scores the pool with the reward model.

        Raises SeamError without a pool.
        """
        from ._keywords import Keywords

        if self.pool is None:
            raise SeamError(
                "The recipe `katg` needs a pool of responses to find keywords in; "
                "pass pool=Pool.of(rl, rm, settings) to Resources.for_texts, or leave katg out of the recipes."
            )
        r = self.settings.resources
        return Keywords.of(self.pool, r.embedding, r.sentence_encoder, r.device)

    @property
    def pool_queries(self) -> int:
        """Reward-model queries that the pool took, outside of every recipe's budget; 0 until `keywords` is used."""
        return self.keywords.queries if "keywords" in vars(self) else 0
