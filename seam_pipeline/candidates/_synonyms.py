"""The local source of synonyms: neighbours in MiniLM's vocabulary instead of WordNet or counter-fitted vectors."""

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ._textattack import PartOfSpeech, WordEmbedding
from .embedding import minilm_path

NEIGHBOURS = 20
MIN_COSINE = 0.3


@lru_cache(maxsize=1)
def vocabulary() -> tuple[list[str], NDArray[np.float32]]:
    """MiniLM's whole words of three letters or more, and their input vectors, centred and of unit length [V, 384]."""
    from safetensors.numpy import load_file

    folder = minilm_path()
    table = load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"].astype(np.float32)
    tokens = (folder / "vocab.txt").read_text("utf-8").splitlines()[: len(table)]
    rows = [i for i, t in enumerate(tokens) if len(t) > 2 and t.isascii() and t.isalpha()]
    vectors = table[rows] - table[rows].mean(axis=0)
    return [tokens[i] for i in rows], vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


class Synonyms(WordEmbedding):
    """Neighbours of the words of some texts, nearest first, by cosine >= 0.3.

    Words that MiniLM splits into pieces (names, numbers, code) have no neighbours and are never swapped.
    Cosines of input vectors run lower than those of counter-fitted vectors: inflections 0.7 to 0.9, near synonyms
    0.4 to 0.7; antonyms are among them.
    """

    def __init__(self, words: Iterable[str]) -> None:
        names, vectors = vocabulary()
        index = {name: i for i, name in enumerate(names)}
        self.near: dict[int, list[int]] = {}
        wanted = sorted({index[w.lower()] for w in words if w.lower() in index})
        for start in range(0, len(wanted), 512):
            block = wanted[start : start + 512]
            for word, cosines in zip(block, vectors[block] @ vectors.T, strict=True):
                cosines[word] = -1
                best = np.argpartition(-cosines, NEIGHBOURS)[:NEIGHBOURS]
                best = best[np.lexsort((best, -cosines[best]))]
                self.near[word] = [int(b) for b in best if cosines[b] >= MIN_COSINE]
        super().__init__(vectors, index, names, None)

    def nearest_neighbours(self, index: int, topn: int) -> list[int]:
        """Indices of at most `topn` neighbours; KeyError (to TextAttack: none) for an unknown word."""
        return self.near[index][:topn]

    def get_cos_sim(self, a: int, b: int) -> float:
        """Cosine of two word indices."""
        return float(self.embedding_matrix[a] @ self.embedding_matrix[b])


class BundledTagger(PartOfSpeech):
    """TextAttack's part-of-speech constraint with the tagger that comes inside TextBlob."""

    def _get_pos(self, before_ctx: list[str], word: str, after_ctx: list[str]) -> str:
        key = "\n".join([*before_ctx, "", word, "", *after_ctx])
        if key not in self._pos_tag_cache:
            self._pos_tag_cache[key] = _coarse(_tags([*before_ctx, word, *after_ctx])[len(before_ctx)])
        return self._pos_tag_cache[key]


def _tags(words: list[str]) -> list[str]:
    from textblob.en import parser

    return [tag for _, tag in parser.find_tags(words)]


def _coarse(penn: str) -> str:
    """Penn tag to the coarse classes between which TextFooler allows swaps."""
    classes = {"NN": "NOUN", "VB": "VERB", "JJ": "ADJ", "RB": "ADV"}
    return classes.get(penn[:2], penn)
