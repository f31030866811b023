"""One person's choice between two answers."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, get_args

import pyarrow as pa

from ..tables import JUDGEMENTS

Response = Literal["1", "2"]
Choice = Literal["1", "2", "tie"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
"""The first response, the second, or `cannot tell`."""

MAX_NAME = 64
MAX_COMMENT = 5000


class Judgement(NamedTuple):
    """A row of tables.JUDGEMENTS."""

    id: str
    annotator: str
    choice: Choice
    left: Response | None
    """Which response stood left."""
    seconds: float | None
    """How long the pair was in view before the choice."""
    comment: str | None
    at: str
    """When, in UTC (`now`)."""
    pair: str | None
    """Hash of the pair that was judged (`Pair.key`)."""


def now() -> str:
    """The time in UTC, to the microsecond; alike texts sort like times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def clean_name(name: str) -> str | None:
    """An annotator's name without outer space, or None for one that is empty, too long or not printable."""
    name = " ".join(name.split())
    return name if 0 < len(name) <= MAX_NAME and name.isprintable() else None


def is_text(given: Any) -> bool:
    """Whether it is a text that can be written as UTF-8: half a surrogate pair can't."""
    return isinstance(given, str) and not any(0xD800 <= ord(character) <= 0xDFFF for character in given)


def clean_seconds(given: Any) -> float | None:
    """A time span to the millisecond, or None for what is none."""
    fits = isinstance(given, (int, float)) and not isinstance(given, bool) and math.isfinite(given) and given >= 0
    return round(float(given), 3) if fits else None


def other(response: Response) -> Response:
    """The other one of the two."""
    return "2" if response == "1" else "1"


def standing(judgements: Iterable[Judgement]) -> list[Judgement]:
    """The latest judgement of each person on each pair; of those of one moment the last."""
    latest: dict[tuple[str, str], Judgement] = {}
    for judgement in judgements:
        place = judgement.id, judgement.annotator
        if place not in latest or latest[place].at <= judgement.at:
            latest[place] = judgement
    return list(latest.values())


def to_table(judgements: Sequence[Judgement]) -> pa.Table:
    """As tables.JUDGEMENTS."""
    return pa.Table.from_pylist([judgement._asdict() for judgement in judgements], schema=JUDGEMENTS)


def from_table(table: pa.Table) -> list[Judgement]:
    """The inverse of `to_table`."""
    return [Judgement(**row) for row in table.to_pylist()]


def majority(choices: Iterable[str]) -> Choice | None:
    """What most chose: `tie` when no choice has more votes than each other one, None for no votes.

    `cannot tell` is a vote for `tie`.
    """
    votes = Counter(choices)
    if not votes:
        return None
    most = max(votes.values())
    winners = [choice for choice in CHOICES if votes[choice] == most]
    return winners[0] if len(winners) == 1 else "tie"
