"""The testbed's truth as a judge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..progress import Progress, silent
from ._rating import EMPTY, JudgedRow, Rating


@dataclass(frozen=True)
class GoldJudge:
    """Rates with the testbed's own rule of (instruction, response), which needs no golden answer."""

    truth: Callable[[str, str], float]
    name: str = "gold"

    def rate(self, rows: Sequence[JudgedRow], progress: Progress = silent) -> list[Rating]:
        """One rating per row."""
        ratings = []
        for done, row in enumerate(rows, start=1):
            known = bool(row.response.strip())
            ratings.append(Rating(float(self.truth(row.instruction, row.response))) if known else EMPTY)
            progress(done, len(rows))
        return ratings
