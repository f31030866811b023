"""What a judge is."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from ..progress import Progress, silent


class JudgedRow(NamedTuple):
    """An answer to be rated."""

    id: str
    instruction: str
    golden_response: str
    response: str


class Rating(NamedTuple):
    """1 (worst) to 10 (best), or null with the reason."""

    rating: float | None
    explanation: str | None = None
    reason: str | None = None


EMPTY = Rating(1.0, "The answer is empty.")
"""What every judge gives an empty answer; it is not sent anywhere."""


class Judge(Protocol):
    """Rates answers one by one."""

    @property
    def name(self) -> str:
        """The name that stands beside its numbers."""

    def rate(self, rows: Sequence[JudgedRow], progress: Progress = silent) -> list[Rating]:
        """One rating per row, in order."""
