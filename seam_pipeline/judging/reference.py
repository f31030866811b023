"""A proxy for quality where there is no judge: similarity to the golden answer."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..candidates.embedding import embed
from ..progress import Progress, silent
from ._rating import EMPTY, JudgedRow, Rating

NAME = "reference (proxy: similarity to the golden answer)"


def rating_of(cosine: float) -> float:
    """A cosine in [0, 1] mapped linearly to 1..10; negative ones count as 0."""
    return 1 + 9 * min(1.0, max(0.0, cosine))


@dataclass(frozen=True)
class ReferenceJudge:
    """Cosine of sentence embeddings of answer and golden answer.

    It rewards saying the same as the golden answer, not being right: name it a proxy wherever its numbers are shown.
    """

    embedding: str = "minilm"
    device: str = "cpu"
    name: str = NAME

    def rate(self, rows: Sequence[JudgedRow], progress: Progress = silent) -> list[Rating]:
        """One rating per row."""
        full = [row for row in rows if row.response.strip()]
        texts = [row.response for row in full] + [row.golden_response for row in full]
        vectors = embed(texts, self.embedding, device=self.device, progress=progress)
        cosines = iter((vectors[: len(full)] * vectors[len(full) :]).sum(axis=1).tolist())
        return [_rated(next(cosines)) if row.response.strip() else EMPTY for row in rows]


def _rated(cosine: float) -> Rating:
    return Rating(rating_of(cosine), f"cosine {cosine:.3f} to the golden answer")
