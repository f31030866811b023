"""Neighbours in a word embedding: MiniLM's vocabulary, or vectors of the user's such as the counter-fitted ones."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import SeamError
from ._textattack import WordEmbedding
from .embedding import minilm_path

Vectors = tuple[list[str], NDArray[np.float32]]


@lru_cache(maxsize=2)
def vocabulary(name: str = "minilm") -> Vectors:
    """Words in lower case and their vectors of unit length [V, D].

    `minilm`: the whole words of three letters or more, their input vectors centred. Else a text file with a word and
    its numbers per line (counter-fitted-vectors.txt, GloVe); words with other signs than letters are left out.
    """
    return _minilm() if name == "minilm" else _from_file(Path(name))


def _minilm() -> Vectors:
    from safetensors.numpy import load_file

    folder = minilm_path()
    table = load_file(folder / "model.safetensors")["embeddings.word_embeddings.weight"].astype(np.float32)
    tokens = (folder / "vocab.txt").read_text("utf-8").splitlines()[: len(table)]
    rows = [i for i, t in enumerate(tokens) if len(t) > 2 and t.isascii() and t.isalpha()]
    return [tokens[i] for i in rows], _unit(table[rows] - table[rows].mean(axis=0))


def _from_file(path: Path) -> Vectors:
    try:
        rows: dict[str, NDArray[np.float32]] = {}
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                word, _, numbers = line.partition(" ")
                if word.isalpha():
                    rows.setdefault(word.lower(), np.array(numbers.split(), dtype=np.float32))
        return list(rows), _unit(np.stack(list(rows.values())))
    except (OSError, ValueError) as error:
        raise SeamError(
            f"{path} (candidates.adversarial.resources.embedding) is no text file of word vectors: {error}; "
            "each line needs a word and equally many numbers."
        ) from error


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (vectors / np.maximum(norms, 1e-12)).astype(np.float32)
    return unit


class Synonyms(WordEmbedding):
    """Nearest words first, at most `most` of them and by cosine >= `lowest`.

    With MiniLM words that it splits into pieces (names, numbers, code) have no neighbours and are never swapped; its
    cosines run lower than those of counter-fitted vectors: inflections 0.7 to 0.9, near synonyms 0.4 to 0.7;
    antonyms are among them. Neighbours of `words` are found in one go, others when they are asked for.
    """

    def __init__(self, words: Iterable[str], name: str = "minilm", most: int = 20, lowest: float = 0.3) -> None:
        names, vectors = vocabulary(name)
        index = {word: i for i, word in enumerate(names)}
        super().__init__(vectors, index, names, None)
        self._most, self._lowest = min(most, len(names) - 1), lowest
        self._near: dict[int, list[int]] = {}
        wanted = sorted({index[w.lower()] for w in words if w.lower() in index})
        for start in range(0, len(wanted), 512):
            self._find(wanted[start : start + 512])

    def has(self, word: str) -> bool:
        """Whether there is a substitute for this word."""
        i = self._word2index.get(word.lower())
        return i is not None and bool(self.nearest_neighbours(i, 1))

    def words(self, word: str, most: int) -> list[str]:
        """At most `most` substitutes in lower case, nearest first."""
        i = self._word2index.get(word.lower())
        return [] if i is None else [self._index2word[n] for n in self.nearest_neighbours(i, most)]

    def nearest_neighbours(self, index: int, topn: int) -> list[int]:
        """Indices of at most `topn` neighbours."""
        if index not in self._near:
            self._find([index])
        return self._near[index][:topn]

    def get_cos_sim(self, a: int, b: int) -> float:
        """Cosine of two word indices."""
        return float(self.embedding_matrix[a] @ self.embedding_matrix[b])

    def _find(self, block: list[int]) -> None:
        vectors = self.embedding_matrix
        for word, cosines in zip(block, vectors[block] @ vectors.T, strict=True):
            cosines[word] = -1
            best = np.argpartition(-cosines, self._most - 1)[: self._most]
            best = best[np.lexsort((best, -cosines[best]))]
            self._near[word] = [int(b) for b in best if cosines[b] >= self._lowest]
