"""Reading what a user brings: parquet, JSONL or rows in memory, checked, each fault one sentence."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import SeamError

DATA_COLUMNS = ("id", "instruction", "golden_response")
CANDIDATE_COLUMNS = ("id", "candidate_index", "candidate")
USED = {*DATA_COLUMNS, *CANDIDATE_COLUMNS, "worse_response"}
"""Other columns may mix types: they are read as JSON text, and nothing is computed from them."""


def read_own(data: Path, candidates: Path) -> tuple[pa.Table, pa.Table]:
    """(id, instruction, golden_response) and (id, candidate_index, candidate): text, and int32 indices.

    A row with index -1 and a null candidate says that an instruction's set is short or empty, as in our own
    candidate tables. Raises SeamError when a file can't be read, a column is missing, null or of another type,
    a table is empty, an id or a candidate's index appears twice, or an id is on one side only.
    """
    rows, sets = (
        checked(read_file(data), DATA_COLUMNS, data),
        checked(read_file(candidates), CANDIDATE_COLUMNS, candidates),
    )
    return _matched(rows, sets, data, candidates)


def given(rows: Any, candidates: Any) -> tuple[pa.Table, pa.Table]:
    """The same from memory: lists of dicts, or any table that speaks Arrow (pyarrow, pandas, polars).

    `candidates` may also map each id to its texts; where `candidate_index` is absent, an id's candidates are numbered
    in their order. Raises SeamError as `read_own` does, naming the argument.
    """
    if isinstance(candidates, Mapping):
        candidates = [{"id": id_, "candidate": text} for id_, texts in candidates.items() for text in texts or [None]]
    sets = in_memory(candidates, "candidates")
    if "candidate_index" not in sets.column_names and {"id", "candidate"} <= set(sets.column_names):
        sets = sets.append_column("candidate_index", pa.array(_numbered(sets), pa.int32()))
    table = checked(in_memory(rows, "rows"), DATA_COLUMNS, "rows")
    return _matched(table, checked(sets, CANDIDATE_COLUMNS, "candidates"), "rows", "candidates")


def in_memory(rows: Any, what: str) -> pa.Table:
    """Rows as a table. Raises SeamError for what is none, and for a column of mixed types."""
    if isinstance(rows, pa.Table):
        return rows
    try:
        if hasattr(rows, "__arrow_c_stream__"):
            return pa.table(rows)
        if isinstance(rows, Iterable) and not isinstance(rows, (str, bytes, Mapping)):
            found = list(rows)
            if all(isinstance(row, Mapping) for row in found):
                return _table(found, what)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise SeamError(f"{what}: not readable as a table ({_first_line(error)}); use one type per column.") from error
    raise SeamError(f"{what}: a {type(rows).__name__} is no table; give a list of dicts, or a pyarrow or pandas table.")


def _numbered(sets: pa.Table) -> list[int]:
    """0, 1, ... within each id; -1 for a null candidate, which marks an empty set."""
    seen: dict[Any, int] = {}
    numbers = []
    for id_, text in zip(sets["id"].to_pylist(), sets["candidate"].to_pylist(), strict=True):
        numbers.append(-1 if text is None else seen.setdefault(id_, 0))
        seen[id_] = seen.get(id_, 0) + (text is not None)
    return numbers


def _matched(rows: pa.Table, sets: pa.Table, data: Path | str, candidates: Path | str) -> tuple[pa.Table, pa.Table]:
    refuse_repeats(rows, ["id"], data)
    refuse_repeats(sets, ["id", "candidate_index"], candidates)
    _refuse_odd_indices(sets, candidates)
    _refuse_strays(sets, rows, candidates, data)
    _refuse_strays(rows, sets, data, candidates)
    return rows, sets


def checked(table: pa.Table, columns: Sequence[str], path: Path | str) -> pa.Table:
    """The named columns, as text and int32. Raises SeamError when one is missing, null or of another type."""
    missing = next((name for name in columns if name not in table.column_names), None)
    if missing is not None:
        found = ", ".join(table.column_names) or "none"
        raise SeamError(f"{path}: column {missing} is missing (found: {found}); it needs {', '.join(columns)}.")
    _refuse_empty(table.num_rows, path)
    return pa.table({name: _typed(table[name], name, path) for name in columns})


def read_file(path: Path) -> pa.Table:
    """All columns of a parquet or JSONL file. Raises SeamError when it can't be read."""
    if not path.is_file():
        raise SeamError(f"{path} is not a file; give a parquet or JSONL file.")
    if path.suffix == ".parquet":
        try:
            return pq.read_table(path)
        except (pa.ArrowException, OSError) as error:
            raise SeamError(f"{path} can't be read as parquet ({_first_line(error)}); write it again.") from error
    if path.suffix in (".jsonl", ".ndjson"):
        return _load_lines(path)
    raise SeamError(f"{path}: the ending {path.suffix or '(none)'} is unknown; use .parquet or .jsonl.")


def _load_lines(path: Path) -> pa.Table:
    # Not Arrow's reader: it turns texts that look like dates into dates.
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise SeamError(f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8.") from error
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError as error:
                raise SeamError(f"{path}: line {number} is not JSON ({_first_line(error)}); write it again.") from error
            if not isinstance(rows[-1], dict):
                raise SeamError(f"{path}: line {number} is not a JSON object; write one object per line.")
    return _table(rows, path)


def _table(rows: Sequence[Mapping[str, Any]], path: Path | str) -> pa.Table:
    _refuse_empty(len(rows), path)
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(key for row in rows for key in row):
        try:
            columns[name] = pa.array([row.get(name) for row in rows])
        except UnicodeEncodeError as error:
            raise SeamError(
                f"{path}: column {name} holds half a character (a lone surrogate, {error.object[error.start]!r}); "
                "write the text again."
            ) from error
        except (pa.ArrowException, OverflowError) as error:
            if name not in USED:
                columns[name] = pa.array([json.dumps(row.get(name), default=str) for row in rows])
                continue
            raise SeamError(f"{path}: column {name} mixes types ({_first_line(error)}); use one.") from error
    return pa.table(columns)


def _typed(column: pa.ChunkedArray, name: str, path: Path | str) -> pa.ChunkedArray:
    if column.null_count and name not in ("candidate", "worse_response"):
        raise SeamError(f"{path}: column {name} is null in {column.null_count} rows; fill or remove them.")
    if name == "candidate_index":
        if not pa.types.is_integer(column.type):
            raise SeamError(f"{path}: column {name} has {column.type} values; it must hold whole numbers.")
        try:
            return pc.cast(column, pa.int32())
        except pa.ArrowException as error:
            raise SeamError(f"{path}: column {name} has numbers beyond 32 bits; count from 0.") from error
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    known = any(kind(column.type) for kind in kinds)
    if not known and not (name == "id" and pa.types.is_integer(column.type)):
        raise SeamError(f"{path}: column {name} has {column.type} values; it must hold text.")
    return pc.cast(column, pa.string())


def _refuse_empty(n_rows: int, path: Path | str) -> None:
    if n_rows == 0:
        raise SeamError(f"{path}: there are no rows; give at least one.")


def refuse_repeats(table: pa.Table, keys: list[str], path: Path | str) -> None:
    """Raise SeamError when two rows share their keys."""
    counts = table.group_by(keys).aggregate([([], "count_all")])
    if counts.num_rows < table.num_rows:
        first = counts.filter(pc.greater(counts["count_all"], 1)).slice(0, 1).to_pylist()[0]
        what = ", ".join(f"{key} {first[key]!r}" for key in keys)
        raise SeamError(f"{path}: {what} appears {first['count_all']} times; column {keys[-1]} must be unique.")


def _refuse_odd_indices(sets: pa.Table, path: Path | str) -> None:
    index, absent = sets["candidate_index"], pc.is_null(sets["candidate"])
    odd = pc.or_(pc.less(index, -1), pc.not_equal(pc.equal(index, -1), absent))
    if pc.any(odd).as_py():
        raise SeamError(f"{path}: column candidate must hold text at candidate_index 0 and up, and null at -1 only.")


def _refuse_strays(table: pa.Table, other: pa.Table, path: Path | str, other_path: Path | str) -> None:
    strays = pc.filter(table["id"], pc.invert(pc.is_in(table["id"], value_set=pc.unique(other["id"]))))
    if len(strays):
        n, first = pc.count_distinct(strays).as_py(), strays[0].as_py()
        raise SeamError(f"{path}: {n} ids of column id ({first!r} first) are not in {other_path}; both must have them.")


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0].rstrip(".")
