"""TextFooler: important words first, each replaced by the neighbour that helps most."""

from ._recipe import Recipe, build, greedy
from ._resources import Resources
from ._textattack import GreedyWordSwapWIR, RepeatModification, WordEmbeddingDistance, WordSwapEmbedding


def textfooler(resources: Resources) -> Recipe:
    """TextFooler (Jin et al. 2020): words by importance when deleted; neighbours with the same part of speech, or a
    noun for a verb, that leave the sentence encoding of the 15 words around them near.
    """
    settings, embedding = resources.settings.resources, resources.embedding
    constraints = [
        WordEmbeddingDistance(embedding=embedding, min_cos_sim=settings.min_cosine),
        resources.tagger(),
        resources.similarity(settings.textfooler_similarity, window=True),
    ]
    swap = WordSwapEmbedding(max_candidates=settings.neighbours, embedding=embedding)
    method = GreedyWordSwapWIR(wir_method="delete")
    return build(swap, method, embedding, greedy, constraints, before=[RepeatModification()])
