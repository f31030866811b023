"""What a pair judge is."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from ..progress import Progress, silent

Preference = Literal["1", "2", "tie"]


class Pair(NamedTuple):
    """Two answers to one instruction."""

    id: str
    instruction: str
    golden_response: str
    response_1: str
    response_2: str


class Verdict(NamedTuple):
    """Which answer is better; `tie` with a reason where the judge did not say so itself, null with the reason."""

    preference: Preference | None
    reason: str | None = None
    explanation: str | None = None


SAME = Verdict("tie", "the two answers are the same")


def plain_verdict(pair: Pair) -> Verdict | None:
    """What needs no judge: equal answers tie, an empty one loses."""
    first, second = pair.response_1.strip(), pair.response_2.strip()
    if first == second:
        return SAME
    if not first or not second:
        return Verdict("2" if not first else "1", None, f"Answer {1 if not first else 2} is empty.")
    return None


class PairJudge(Protocol):
    """Says which of two answers is better."""

    @property
    def name(self) -> str:
        """The name that stands beside its verdicts."""

    def decide(self, pairs: Sequence[Pair], progress: Progress = silent) -> list[Verdict]:
        """One verdict per pair, in order."""
