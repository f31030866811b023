"""Topics of the instructions: the data's own column, or clusters of their embeddings named by their own words."""

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..progress import Progress
from ._build import VECTORS
from ._prompts import Prompts
from ._stages import Stages, content, stamp
from .settings import AuditSettings

Vectors = NDArray[np.float32]
PER_CLUSTER, MOST_CLUSTERS, STARTS = 12, 12, 4
TERMS = 3


@dataclass(frozen=True)
class Topics:
    """`members` maps a topic to the places of its instructions; `found` says that they are clusters of ours."""

    members: dict[str, list[int]]
    column: str | None

    @property
    def found(self) -> bool:
        """Whether the topics are clusters, not the data's own."""
        return self.column is None


def find_topics(prompts: Prompts, settings: AuditSettings, stages: Stages, device: str) -> Topics:
    """The topics of the prompts, largest first; clusters are kept in `topics.parquet` (id, topic)."""
    if prompts.topics is not None:
        named = [(topic, place) for place, topics in enumerate(prompts.topics) for topic in topics]
        return Topics(_grouped(named), prompts.topic_column)
    questions = content(prompts.table.select(["id", "instruction"]))
    key = stamp("topics", questions, settings.contrast.embedding, settings.contrast.pooling, settings.seed)
    table = stages.table(
        "topics", key, lambda progress: _clustered(prompts, settings, stages.folder / VECTORS, device, progress)
    )
    return Topics(_grouped([(topic, place) for place, topic in enumerate(table["topic"].to_pylist())]), None)


def _grouped(named: list[tuple[str, int]]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for topic, place in named:
        groups.setdefault(topic, []).append(place)
    return dict(sorted(groups.items(), key=lambda item: (-len(item[1]), item[0])))


def _clustered(prompts: Prompts, settings: AuditSettings, cache: Path, device: str, progress: Progress) -> pa.Table:
    from ..candidates.embedding import embed_texts

    texts = prompts.table["instruction"].to_pylist()
    found = embed_texts(
        texts,
        settings.contrast.embedding,
        pooling=settings.contrast.pooling,
        device=device,
        cache=cache,
        progress=progress,
    )
    vectors = np.asarray(found.vectors[np.arange(len(texts))])
    label = clusters(vectors, max(1, min(MOST_CLUSTERS, len(texts) // PER_CLUSTER)), settings.seed)
    names = cluster_names(texts, label)
    return pa.table({"id": prompts.ids, "topic": pa.array([names[one] for one in label.tolist()], pa.string())})


def clusters(vectors: Vectors, k: int, seed: int = 0) -> NDArray[np.intp]:
    """Spherical k-means of unit vectors [n, D]: a label below k for each; the best of a few seeded starts.

    Starts are spread out as k-means++ does it; an emptied cluster takes the vector that fits its own worst.
    """
    best: tuple[float, NDArray[np.intp]] | None = None
    for start in range(STARTS):
        found = _lloyd(vectors, _spread(vectors, k, np.random.default_rng([seed, start])))
        if best is None or found[0] > best[0] + 1e-6:
            best = found
    assert best is not None
    return best[1]


def _spread(vectors: Vectors, k: int, rng: np.random.Generator) -> Vectors:
    chosen = [int(rng.integers(len(vectors)))]
    far = np.full(len(vectors), np.inf)
    while len(chosen) < k:
        far = np.minimum(far, np.maximum(1.0 - vectors @ vectors[chosen[-1]], 0.0))
        total = far.sum()
        chosen.append(int(rng.choice(len(vectors), p=far / total)) if total > 0 else chosen[0])
    return vectors[chosen].copy()


def _lloyd(vectors: Vectors, centres: Vectors) -> tuple[float, NDArray[np.intp]]:
    label = np.full(len(vectors), -1, np.intp)
    fit = np.zeros(len(vectors))
    for _ in range(100):
        near = vectors @ centres.T
        new = near.argmax(axis=1)
        fit = near[np.arange(len(vectors)), new]
        for empty in set(range(len(centres))) - set(new.tolist()):
            worst = int(fit.argmin())
            new[worst], fit[worst] = empty, 1.0
        if (new == label).all():
            break
        label = new
        sums = np.stack([vectors[label == one].sum(axis=0) for one in range(len(centres))])
        centres = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    return float(fit.sum()), label


def cluster_names(texts: list[str], label: NDArray[np.intp]) -> dict[int, str]:
    """Each cluster's words that tell it from the others: log-odds of an instruction having the word, over their error.

    Words stand in two of the cluster's instructions or more; stop words are left out; equal names get a number.
    """
    bags = [set(_terms(text)) for text in texts]
    total = Counter(word for bag in bags for word in bag)
    names: dict[int, str] = {}
    for one in sorted(set(label.tolist())):
        inside = [bag for bag, where in zip(bags, label.tolist(), strict=True) if where == one]
        own, n, rest = Counter(word for bag in inside for word in bag), len(inside), len(bags) - len(inside)
        scored = sorted(
            (-_log_odds(own[word], n, total[word] - own[word], rest), word) for word in own if own[word] >= min(2, n)
        )
        name = ", ".join(_distinct([word for _, word in scored])) or "unnamed"
        names[one] = name if name not in names.values() else f"{name} ({one + 1})"
    return names


def _distinct(words: list[str]) -> list[str]:
    """The first few words, without plurals of words that are there already."""
    kept: list[str] = []
    for word in words:
        if not any(word.startswith(other) or other.startswith(word) for other in kept):
            kept.append(word)
        if len(kept) == TERMS:
            break
    return kept


def _log_odds(inside: int, n: int, outside: int, rest: int) -> float:
    a, b, c, d = inside + 0.5, n - inside + 0.5, outside + 0.5, rest - outside + 0.5
    return float((np.log(a / b) - np.log(c / d)) / np.sqrt(1 / a + 1 / b + 1 / c + 1 / d))


def _terms(text: str) -> list[str]:
    plain = re.sub(r"https?://\S+|www\.\S+", " ", text.casefold())
    return [word for word in re.findall(r"[^\W\d_][\w-]{2,}", plain) if word not in _stop_words()]


@cache
def _stop_words() -> frozenset[str]:
    return frozenset(files("seam_pipeline.candidates").joinpath("stop_words.txt").read_text("utf-8").split())
