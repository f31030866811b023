"""What the scorers read: an instruction with the responses that are scored under it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import SeamError
from ..progress import Progress

GOLDEN_INDEX = -1
"""The golden response's `candidate_index` in REWARDS (in CANDIDATES, -1 marks a short set)."""


@dataclass(frozen=True)
class Item:
    """One instruction and its responses; `indices` are their `candidate_index`, in the same order."""

    id: str
    instruction: str
    responses: tuple[str, ...]
    indices: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.responses) != len(self.indices):
            raise ValueError(f"item {self.id}: {len(self.responses)} responses but {len(self.indices)} indices")


def items_of(rl: pa.Table, candidates: pa.Table, *, golden: bool = False) -> list[Item]:
    """One item per RL row, in the rows' order, with its candidates by ascending index.

    `golden` puts the golden response first, with index -1, for the reward model. Short-set rows (no candidate)
    are left out; an instruction without candidates stays, with no response or only the golden one.
    Raises SeamError when a candidate belongs to no row.
    """
    found: dict[str, list[tuple[int, str]]] = {id_: [] for id_ in rl["id"].to_pylist()}
    present = candidates.filter(pc.is_valid(candidates["candidate"]))
    columns = (present["id"].to_pylist(), present["candidate_index"].to_pylist(), present["candidate"].to_pylist())
    for id_, index, text in zip(*columns, strict=True):
        if id_ not in found:
            raise SeamError(f"Candidates: id {id_!r} is not among the instructions; remove it or add its instruction.")
        found[id_].append((index, text))
    rows = zip(rl["id"].to_pylist(), rl["instruction"].to_pylist(), rl["golden_response"].to_pylist(), strict=True)
    return [
        _item(id_, instruction, [(GOLDEN_INDEX, best)] if golden else [], found[id_]) for id_, instruction, best in rows
    ]


def pair_items(answers: pa.Table) -> list[Item]:
    """One item per row of PREFERENCE_ANSWERS: response_1 as index 1, response_2 as index 2."""
    return [
        Item(row["id"], row["instruction"], (row["response_1"], row["response_2"]), (1, 2))
        for row in answers.to_pylist()
    ]


def _item(id_: str, instruction: str, golden: list[tuple[int, str]], found: list[tuple[int, str]]) -> Item:
    ordered = golden + sorted(found)
    return Item(id_, instruction, tuple(text for _, text in ordered), tuple(index for index, _ in ordered))


WINDOW = 64
"""Items tokenised, sorted and kept at a time: bounds memory and what a kill can cost."""


def windows(items: Sequence[Item], progress: Progress) -> Iterator[tuple[Sequence[Item], Callable[[float], None]]]:
    """Slices of the items, each with a callback for the share of it that is done; `progress` counts items."""
    for start in range(0, len(items), WINDOW):
        window = items[start : start + WINDOW]

        def finished(share: float, start: int = start, size: int = len(window)) -> None:
            progress(start + int(share * size), len(items))

        yield window, finished
        finished(1.0)
