"""A user's dataset, filtered without touching what is kept: JSONL lines as they are, parquet with its schema."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import SeamError
from ..wholefile import write_whole

LINES = (".jsonl", ".ndjson")
FORMATS = (".parquet", *LINES)


@dataclass(frozen=True)
class Dataset:
    """`ids` and `golden` (None where there is none) in the file's order; `rows` are a table or the file's lines."""

    path: Path
    ids: list[str]
    golden: list[str | None] | None
    rows: pa.Table | list[str]

    def write(self, kept: Sequence[bool], target: Path) -> None:
        """The kept rows, in their order, with all their columns."""
        rows = self.rows
        if isinstance(rows, list):
            text = "".join(f"{line}\n" for line, keep in zip(rows, kept, strict=True) if keep)
            write_whole(target, lambda path: path.write_text(text, "utf-8", newline=""))
        else:
            write_whole(target, lambda path: pq.write_table(rows.filter(pa.array(kept, pa.bool_())), path))


def read_dataset(path: Path) -> Dataset:
    """A parquet or JSONL file with a column id; golden_response is used when it is there.

    Raises SeamError when it can't be read, has no rows, or an id is missing, null, repeated or no text or number.
    """
    if not path.is_file():
        raise SeamError(f"{path} is not a file; give a parquet or JSONL file.")
    if path.suffix not in FORMATS:
        raise SeamError(f"{path}: the ending {path.suffix or '(none)'} is unknown; use .parquet or .jsonl.")
    rows: pa.Table | list[str]
    if path.suffix == ".parquet":
        rows = _read_parquet(path)
        columns = {name: rows[name].to_pylist() for name in ("id", "golden_response") if name in rows.column_names}
    else:
        numbered = [(n, line) for n, line in enumerate(_text(path).split("\n"), 1) if line.strip()]
        rows = [line for _, line in numbered]
        columns = _columns(list(_objects(numbered, path)))
    if "id" not in columns:
        raise SeamError(f"{path}: column id is missing; selection finds rows by their id.")
    ids = [_id(value, number, path) for number, value in enumerate(columns["id"], 1)]
    if not ids:
        raise SeamError(f"{path}: there are no rows; give at least one.")
    twice, count = Counter(ids).most_common(1)[0]
    if count > 1:
        raise SeamError(f"{path}: id {twice!r} appears {count} times; column id must be unique.")
    return Dataset(path, ids, columns.get("golden_response"), rows)


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise SeamError(f"{path} can't be read as parquet ({str(error).splitlines()[0]}); write it again.") from error


def lines_of(path: Path) -> list[str]:
    """A JSONL file's lines as they are, without the blank ones."""
    return [line for line in _text(path).split("\n") if line.strip()]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise SeamError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from error


def _objects(lines: list[tuple[int, str]], path: Path) -> Iterator[dict[str, Any]]:
    for number, line in lines:
        try:
            row = json.loads(line)
        except ValueError as error:
            raise SeamError(f"{path}: line {number} is not JSON ({error}); write it again.") from error
        if not isinstance(row, dict):
            raise SeamError(f"{path}: line {number} is not a JSON object; write one object per line.")
        yield row


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    names = [name for name in ("id", "golden_response") if any(name in row for row in rows)]
    return {name: [row.get(name) for row in rows] for name in names}


def _id(value: Any, number: int, path: Path) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        what = "has no id" if value is None else f"has the id {value!r}"
        raise SeamError(f"{path}: row {number} {what}; an id is text or a whole number.")
    return str(value)
