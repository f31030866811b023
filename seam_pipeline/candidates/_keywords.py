"""KATG's keyword bias, as far as its public description goes: which words go with a high reward."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..experiment import Adversarial
from ..scoring._tokens import cut_left
from ._response import Response
from ._synonyms import vocabulary
from ._textattack import stop_words
from .embedding import embed

if TYPE_CHECKING:
    from ..models.stack import RewardModel

_FEWEST = 3
"""Texts with a word, and texts without it, from which its bias is measured."""


@dataclass(frozen=True)
class Pool:
    """Responses whose rewards show the reward model's taste: golden and worse answers of several instructions.

    groups: which instruction each response belongs to. score: rewards of (instruction, response) pairs.
    """

    pairs: Sequence[tuple[str, str]]
    groups: Sequence[str]
    score: Callable[[Sequence[tuple[str, str]]], Sequence[float]]

    @classmethod
    def of(cls, rl: pa.Table, rm: "RewardModel", settings: Adversarial) -> "Pool":
        """Both responses of the first `katg_pool` rows of `rl` that have two, by the hash of their id."""
        from ._rows import row_seed

        items = rl.select(["id", "instruction", "golden_response", "worse_response"]).to_pylist()
        items = [i for i in items if i["golden_response"] and i["worse_response"]]
        items = sorted(items, key=lambda i: row_seed(0, i["id"]))[: settings.resources.katg_pool]
        both = [(i, i[side]) for i in items for side in ("golden_response", "worse_response")]
        pairs = [(i["instruction"], response) for i, response in both]
        return cls(pairs, [i["id"] for i, _ in both], lambda asked: _rewards(rm, asked))


def _rewards(rm: "RewardModel", pairs: Sequence[tuple[str, str]]) -> list[float]:
    """Rewards of whole texts; what is longer than the model's positions is cut on the left, as in scoring."""
    special = frozenset(rm.tokenizer.all_special_ids)
    return rm.rewards([cut_left(ids, rm.window, special)[0] for ids in rm.encode(list(pairs))])


def keyword_bias(texts: Sequence[frozenset[str]], rewards: Sequence[float]) -> dict[str, float]:
    """z-score of the reward of texts with a word against texts without it, for each word; positive = liked.

    z = (m1 - m0) / sqrt(s1^2 / n1 + s0^2 / n0), sample variances. Words that fewer than three texts have, or lack, and
    words for which both variances are 0, are left out.
    """
    values = np.asarray(rewards, dtype=np.float64)
    found = {}
    for word in sorted(frozenset().union(*texts)):
        inside = np.array([word in text for text in texts])
        n1, n0 = int(inside.sum()), int((~inside).sum())
        if min(n1, n0) >= _FEWEST:
            spread = values[inside].var(ddof=1) / n1 + values[~inside].var(ddof=1) / n0
            if spread > 0:
                found[word] = float((values[inside].mean() - values[~inside].mean()) / np.sqrt(spread))
    return found


@dataclass
class Keywords:
    """Liked words, the pool's texts as priors, and the words' vectors.

    bias: z-scores, the liked words alone. texts: responses of the pool. groups: their instructions. words: each text's
    liked words. vectors: of the texts [N, D], unit length. queries: rewards read for this.
    """

    bias: dict[str, float]
    texts: list[str]
    groups: list[str]
    words: list[list[str]]
    vectors: NDArray[np.float32]
    queries: int
    word_vectors: dict[str, NDArray[np.float32]]
    encoder: tuple[str, str]

    @classmethod
    def of(cls, pool: Pool, embedding: str, encoder: str, device: str) -> "Keywords":
        """Score the pool and measure the bias on rewards less their instruction's mean.

        A reward model's zero point is arbitrary for each instruction, so that only differences within one compare.
        """
        names, vectors = vocabulary(embedding)
        index, stop = {name: i for i, name in enumerate(names)}, stop_words()
        rewards = _centred(list(pool.score(pool.pairs)), pool.groups)
        use = [i for i, reward in enumerate(rewards) if np.isfinite(reward)]
        bags = [_words(pool.pairs[i][1]) for i in use]
        bags = [frozenset(w for w in bag if w in index and len(w) > 2 and w not in stop) for bag in bags]
        bias = {w: z for w, z in keyword_bias(bags, [rewards[i] for i in use]).items() if z > 0} if use else {}
        texts = [pool.pairs[i][1] for i in use]
        return cls(
            bias,
            texts,
            [pool.groups[i] for i in use],
            [sorted(w for w in bag if w in bias) for bag in bags],
            embed(texts, encoder, device=device),
            len(pool.pairs),
            {w: vectors[index[w]] for w in bias},
            (encoder, device),
        )

    def priors(self, text: str, many: int, rng: np.random.Generator) -> list[int]:
        """Draw texts of other instructions by exp(mean bias of their liked words + cosine to `text`)."""
        own = {group for group, other in zip(self.groups, self.texts, strict=True) if other == text}
        rows = [i for i, group in enumerate(self.groups) if group not in own and self.words[i]]
        if not rows:
            return []
        name, device = self.encoder
        near = self.vectors[rows] @ embed([text], name, device=device)[0]
        liked = np.array([np.mean([self.bias[w] for w in self.words[i]]) for i in rows])
        weights = np.exp(near.astype(np.float64) + liked - (near + liked).max())
        many = min(many, len(rows))
        return sorted(int(i) for i in rng.choice(rows, size=many, replace=False, p=weights / weights.sum()))


def _words(response: str) -> frozenset[str]:
    """Words in lower case, those of links left out."""
    text = Response(response)
    links = text.in_links()
    return frozenset(w.lower() for i, w in enumerate(text.words) if i not in links)


def _centred(rewards: list[float], groups: Sequence[str]) -> list[float]:
    sums: dict[str, list[float]] = {}
    for reward, group in zip(rewards, groups, strict=True):
        sums.setdefault(group, []).append(reward)
    return [
        r - float(np.mean(sums[g])) if len(sums[g]) > 1 else float("nan") for r, g in zip(rewards, groups, strict=True)
    ]
