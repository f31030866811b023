"""TextAttack's sentence-encoder constraint, with embeddings cached and computed in batches."""

from typing import Any

import torch

from ._textattack import SentenceEncoder
from .embedding import embed

WINDOW = 15
_MOST = 20_000


class Similarity(SentenceEncoder):
    """Keeps texts whose embedding is near enough to that of the text they come from.

    window: as in TextFooler, 15 words around the swap against the text before this swap, by 1 - angle / pi, and texts
    of fewer than 15 words pass; else whole texts against the text at the start, by cosine.
    """

    def __init__(self, name: str, threshold: float, *, window: bool, device: str = "cpu") -> None:
        metric = "angular" if window else "cosine"
        super().__init__(threshold, metric, not window, WINDOW if window else None, window)
        self._name, self._device = name, device
        self._known: dict[str, torch.Tensor] = {}

    def encode(self, sentences: list[str]) -> torch.Tensor:
        """Unit-length embeddings [len(sentences), D]."""
        if len(self._known) > _MOST:
            self._known.clear()
        new = list(dict.fromkeys(s for s in sentences if s not in self._known))
        if new:
            vectors = torch.from_numpy(embed(new, self._name, device=self._device))
            self._known.update(zip(new, vectors, strict=True))
        return torch.stack([self._known[s] for s in sentences])

    def between(self, start: str, texts: list[str]) -> list[float]:
        """Similarity of each text to `start`."""
        vectors = self.encode([start, *texts])
        return self.sim_metric(vectors[:1].expand(len(texts), -1), vectors[1:]).tolist() if texts else []

    def _sim_score(self, starting_text: Any, transformed_text: Any) -> float:
        return float(self._score_list(starting_text, [transformed_text])[0])
