"""The pairs that are judged, in which order, and which answer stands left."""

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import pyarrow as pa

from ..errors import SeamError
from ..rowcache import row_key
from ..scoring._own_data import checked, read_file, refuse_repeats
from ..tables import JUDGEMENTS
from ._judgement import Choice, Response, other

COLUMNS = ("id", "instruction", "response_1", "response_2")
Side = Literal["left", "right", "tie"]
SIDES: tuple[Side, ...] = get_args(Side)


class Pair(NamedTuple):
    """Two answers to one instruction; `extra` are the file's other columns."""

    id: str
    instruction: str
    response_1: str
    response_2: str
    extra: dict[str, Any] = {}  # noqa: RUF012

    @property
    def key(self) -> str:
        """Hash of id and texts."""
        return row_key(self.id, self.instruction, self.response_1, self.response_2).hex()


def read_pairs(path: Path) -> list[Pair]:
    """Pairs of a parquet or JSONL file. Raises SeamError as `pairs_of` does, and for a file that can't be read."""
    return pairs_of(read_file(path), path)


def pairs_of(table: pa.Table, path: Path | str) -> list[Pair]:
    """Pairs of a table that has COLUMNS; its other columns go along with exports.

    Raises SeamError for a missing column, one that isn't text, an id that comes twice, or a further column that has
    the name of one that exports add.
    """
    rows = checked(table, COLUMNS, path)
    refuse_repeats(rows, ["id"], path)
    others = [name for name in table.column_names if name not in COLUMNS]
    taken = [name for name in others if name in JUDGEMENTS.names]
    if taken:
        raise SeamError(f"{path}: column {taken[0]} has the name of one that judgements have; rename it.")
    extras = table.select(others).to_pylist() if others else [{}] * table.num_rows
    # Through JSON text, as the annotation file keeps them.
    return [
        Pair(**row, extra=json.loads(json.dumps(extra, default=str)))
        for row, extra in zip(rows.to_pylist(), extras, strict=True)
    ]


def left_of(pair: Pair, annotator: str, seed: int) -> Response:
    """The response that this person sees left: a coin for each person and pair; of two equal texts the first."""
    if pair.response_1 == pair.response_2:
        return "1"
    return "1" if _digest(seed, "left", annotator, pair.key)[0] & 1 else "2"


class Sheet:
    """The pairs in the order in which everybody judges them: people who stop early have judged the same ones."""

    def __init__(self, pairs: Sequence[Pair], seed: int) -> None:
        self.seed = seed
        self.pairs = sorted(pairs, key=lambda pair: _digest(seed, "order", pair.key))

    @cached_property
    def place(self) -> dict[str, int]:
        """Position by id."""
        return {pair.id: position for position, pair in enumerate(self.pairs)}

    def token(self, position: int, annotator: str) -> str:
        """What a page sends back with a choice: it fits only the pair, the person and the sides it was made for."""
        pair = self.pairs[position]
        return _digest(self.seed, "token", annotator, pair.key, left_of(pair, annotator, self.seed)).hex()[:32]

    def shown(self, position: int, annotator: str) -> tuple[str, str]:
        """The answers left and right."""
        pair = self.pairs[position]
        both = pair.response_1, pair.response_2
        return both if left_of(pair, annotator, self.seed) == "1" else both[::-1]

    def choice(self, position: int, annotator: str, side: Side) -> Choice:
        """The response that a side means; the inverse of `side`."""
        if side == "tie":
            return "tie"
        left = left_of(self.pairs[position], annotator, self.seed)
        return left if side == "left" else other(left)

    def side(self, position: int, annotator: str, choice: str) -> Side:
        """The side on which a choice stands for this person."""
        if choice == "tie":
            return "tie"
        return "left" if choice == left_of(self.pairs[position], annotator, self.seed) else "right"


def _digest(*parts: Any) -> bytes:
    return hashlib.sha256(json.dumps(parts).encode()).digest()
