"""The prompts of an audit: the user's file, what is used of it, and writing part of it back."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..errors import SeamError
from ..scoring._own_data import checked, read_file, refuse_repeats
from ..selection._dataset import Dataset, lines_of

ROLES = ("id", "instruction", "golden_response", "worse_response")
NEEDED = ROLES[1:3]
TOPIC_COLUMNS = ("topic", "topics", "tag", "tags", "category")
"""Taken as topics when the user names no other column."""


@dataclass(frozen=True)
class Prompts:
    """`table` has `id, instruction, golden_response, worse_response` (null where there is none), in the file's order.

    `lines` are a JSONL file's own lines, None for parquet; `topics` are each row's topics, None when the file names
    none; `topic_column` is where they come from.
    """

    path: Path
    file: pa.Table
    table: pa.Table
    lines: list[str] | None
    topic_column: str | None
    topics: list[tuple[str, ...]] | None

    @property
    def ids(self) -> list[str]:
        """Ids in the file's order."""
        return self.table["id"].to_pylist()

    def write_kept(self, kept: Sequence[bool], folder: Path, name: str) -> Path:
        """The kept rows with all their columns, in the input's format; JSONL lines are copied as they are."""
        target = folder / f"{name}{self.path.suffix}"
        Dataset(self.path, self.ids, None, self.file if self.lines is None else self.lines).write(kept, target)
        return target


def read_prompts(path: Path, columns: Mapping[str, str] | None = None, topic_column: str | None = None) -> Prompts:
    """Read parquet or JSONL with instruction and golden_response; id and worse_response are optional.

    `columns` gives a role (id, instruction, golden_response, worse_response) another column's name. Rows without an
    id get one from their content, so that it stays when rows are added; repeated rows are numbered.
    Raises SeamError when the file can't be read, a column is missing, null (worse_response may be) or no text, there
    are no rows, or an id appears twice.
    """
    file = read_file(path)
    table = _roles(file, columns or {}, path)
    wanted = [role for role in ROLES if role in table.column_names or role in NEEDED]
    table = checked(table, wanted, path)
    if "id" not in table.column_names:
        table = table.append_column("id", pa.array(content_ids(table)))
    refuse_repeats(table, ["id"], path)
    if "worse_response" not in table.column_names:
        table = table.append_column("worse_response", pa.nulls(table.num_rows, pa.string()))
    named = topic_column or next((name for name in TOPIC_COLUMNS if name in file.column_names), None)
    if topic_column is not None and topic_column not in file.column_names:
        raise SeamError(
            f"{path}: there is no column {topic_column} for topics (found: {', '.join(file.column_names)})."
        )
    topics = None if named is None else [topics_of(value) for value in file[named].to_pylist()]
    lines = None if path.suffix == ".parquet" else lines_of(path)
    return Prompts(path, file, table.select(ROLES), lines, named, topics)


def read_pool(path: Path, columns: Mapping[str, str] | None = None) -> pa.Table:
    """Further questions with good answers for contrast: `id, instruction, golden_response`; ids are optional."""
    table = _roles(read_file(path), {k: v for k, v in (columns or {}).items() if k != "worse_response"}, path)
    table = checked(table, [role for role in ROLES[:3] if role in table.column_names or role != "id"], path)
    if "id" not in table.column_names:
        table = table.append_column("id", pa.array(content_ids(table)))
    return table.select(ROLES[:3])


def _roles(file: pa.Table, columns: Mapping[str, str], path: Path) -> pa.Table:
    """The file with its columns under their roles' names."""
    absent = next((name for name in columns.values() if name not in file.column_names), None)
    if absent is not None:
        raise SeamError(f"{path}: there is no column {absent} (found: {', '.join(file.column_names)}).")
    names = {role: columns.get(role, role) for role in ROLES}
    needed = next((name for role, name in names.items() if role in NEEDED and name not in file.column_names), None)
    if needed is not None:
        raise SeamError(
            f"{path}: column {needed} is missing (found: {', '.join(file.column_names) or 'none'}); "
            "it needs instruction and golden_response, or --column instruction=NAME."
        )
    return pa.table({role: file[name] for role, name in names.items() if name in file.column_names})


def content_ids(table: pa.Table) -> list[str]:
    """16 hexadecimal digits of each row's content; a repeated row gets -2, -3, ... behind them."""
    seen: dict[str, int] = {}
    ids = []
    for question, answer in zip(table["instruction"].to_pylist(), table["golden_response"].to_pylist(), strict=True):
        digest = hashlib.sha256(f"{question}\x1f{answer}".encode()).hexdigest()[:16]
        seen[digest] = seen.get(digest, 0) + 1
        ids.append(digest if seen[digest] == 1 else f"{digest}-{seen[digest]}")
    return ids


def topics_of(value: Any) -> tuple[str, ...]:
    """Topics of one cell: a list's members, the parts of `<a><b>`, or the text as one topic; none for null."""
    if value is None:
        return ()
    if isinstance(value, list):
        return tuple(dict.fromkeys(str(part) for part in value if part is not None))
    text = str(value).strip()
    tags = re.findall(r"<([^<>]+)>", text) if text.startswith("<") else [text] if text else []
    return tuple(dict.fromkeys(tags))
