"""What a file is, by its first bytes and its columns, never by its name."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from seam_pipeline.errors import SeamError

from ._archive import posts_member
from ._records import Bad, Record
from ._tabular import read_json_array, read_jsonl

Form = Literal["xml", "7z", "csv", "jsonl", "json", "parquet", "hub"]
Rows = Literal["posts", "paired", "own"]

_PROLOGUE = re.compile(rb"\s*(?:<\?.*?\?>\s*)?(?:<!--.*?-->\s*)*<([!A-Za-z_][\w.-]*)", re.DOTALL)
_HEAD = 1 << 16
_LOOKED_AT = 100
_WANTED = (
    "Posts.xml of a Stack Exchange dump (also inside .7z), its columns as CSV (Id, PostTypeId, ...), "
    "question/response_j/response_k rows, or instruction with response or with chosen and rejected"
)


class UnknownKindError(SeamError):
    """A whole file of which nothing can be made; in a folder it is passed over and listed."""


@dataclass(frozen=True)
class Kind:
    """How the file is written (`form`) and what its rows are (`rows`)."""

    form: Form
    rows: Rows


def kind_of(path: Path) -> Kind:
    """Look at the beginning of the file. Raises UnknownKindError, or SeamError for a damaged file."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEAD)
    except OSError as error:
        raise SeamError(f"{path} cannot be read ({error.strerror}); mend its permissions or give another.") from error
    if not head:
        raise UnknownKindError(f"{path} is empty; give {_WANTED}.")
    if head.startswith(b"7z\xbc\xaf\x27\x1c"):
        if posts_member(path) is None:
            raise UnknownKindError(f"{path} holds no Posts.xml; give the archive of a site's posts.")
        return Kind("7z", "posts")
    if head.startswith(b"PAR1"):
        return Kind("parquet", _of_columns(path, [_parquet_columns(path)]))
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<"):
        return _xml_kind(path, text)
    return _text_kind(path, text)


def _xml_kind(path: Path, text: bytes) -> Kind:
    match = _PROLOGUE.match(text)
    root = match[1].decode("ascii", "replace") if match else ""
    if root.upper() == "!DOCTYPE":
        raise SeamError(
            f"{path} declares a document type (DTD), which dumps never do and entity bombs need: refused; "
            "use the original Posts.xml."
        )
    if root != "posts":
        raise UnknownKindError(f"{path} is no dump of posts (its root is <{root}>, not <posts>); give {_WANTED}.")
    return Kind("xml", "posts")


def _text_kind(path: Path, text: bytes) -> Kind:
    if b"\0" in text:
        raise UnknownKindError(f"{path} is a binary file of an unknown kind; give {_WANTED}.")
    with path.open("rb") as stream:
        if text.startswith(b"["):
            return Kind("json", _of_columns(path, _columns(read_json_array(stream, str(path)))))
        if text.startswith(b"{"):
            return Kind("jsonl", _of_columns(path, _columns(read_jsonl(stream, str(path)))))
    return Kind("csv", _of_columns(path, _csv_columns(text)))


def _columns(records: Iterator[Record | Bad]) -> list[set[str]]:
    """The columns of the first readable rows; damage after them is for the reader to report."""
    seen: list[set[str]] = []
    try:
        for record in islice(records, _LOOKED_AT):
            if not isinstance(record, Bad):
                seen.append(set(record))
    except SeamError:
        return seen
    return seen


def _csv_columns(text: bytes) -> list[set[str]]:
    try:
        header = next(csv.reader(io.StringIO(text.decode("utf-8", "replace"))), [])
    except csv.Error:
        return []
    return [set(header)]


def _parquet_columns(path: Path) -> set[str]:
    try:
        return set(pq.read_schema(path).names)
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise SeamError(f"{path} is truncated or damaged parquet ({reason}); write it again.") from error


def rows_of(columns: set[str]) -> Rows | None:
    """What rows with these columns are, or None."""
    if {"Id", "PostTypeId", "Body"} <= columns:
        return "posts"
    if {"question", "response_j", "response_k"} <= columns:
        return "paired"
    if "instruction" in columns and ("response" in columns or {"chosen", "rejected"} <= columns):
        return "own"
    return None


def _of_columns(path: Path, seen: list[set[str]]) -> Rows:
    rows = next((found for found in map(rows_of, seen) if found), None)
    if rows is None:
        names = ", ".join(sorted(name[:30] for name in seen[0])[:8]) if seen else ""
        found = f"has the columns {names}" if names else "holds no readable rows"
        raise UnknownKindError(f"{path} {found}, from which no posts can be read; give {_WANTED}.")
    return rows
