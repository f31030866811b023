"""Records of CSV, JSONL, JSON-array and parquet files, streamed."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from seam_pipeline.errors import SeamError

from ._records import Bad, Record

CHUNK = 1 << 20
LARGEST_ITEM = 64 << 20


def read_csv(stream: BinaryIO, name: str) -> Iterator[Record | Bad]:
    """Rows of a CSV file with a header; quoted fields may hold line breaks; bad UTF-8 spoils only its row."""
    csv.field_size_limit(min(sys.maxsize, LARGEST_ITEM))
    rows = csv.reader(_text(stream), strict=True)
    header: list[str] = []
    whole_row = True
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            if "unexpected end" in str(error):
                raise SeamError(f"{name} is truncated: it ends inside a quoted field; export it again.") from error
            yield Bad("row: not well-formed CSV")
            continue
        if row is None:
            break
        if not header:
            header = row
        elif row:
            whole_row = len(row) == len(header)
            yield dict(zip(header, row, strict=True)) if whole_row else Bad("row: wrong number of columns")
    if not whole_row and not _ends_with_newline(stream):
        raise SeamError(f"{name} is truncated: its last row breaks off; export it again.")


def read_jsonl(stream: BinaryIO, name: str) -> Iterator[Record | Bad]:
    """One JSON object a line; other lines are skipped, but a broken last line means a truncated file."""
    line = b""
    good = True
    while line := stream.readline(LARGEST_ITEM):
        if not line.strip():
            continue
        try:
            value = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
            good = True
        except (ValueError, RecursionError):
            value, good = None, False
        yield value if isinstance(value, dict) else Bad("row: not a JSON object")
    if not good and not _ends_with_newline(stream):
        raise SeamError(f"{name} is truncated: its last line is no whole JSON object; write it again.")


def read_json_array(stream: BinaryIO, name: str) -> Iterator[Record | Bad]:
    """The objects of one JSON array, decoded one by one so that the array never is in memory."""
    text, decoder = _text(stream), json.JSONDecoder()
    buffer, ended = "", False
    position, started = 0, False
    while True:
        position = _skip(buffer, position, ", \t\r\n\ufeff" if started else " \t\r\n\ufeff")
        if not started and position < len(buffer):
            started, position = True, position + 1  # the sniffer has seen the "["
            continue
        if position < len(buffer) and buffer[position] == "]":
            return
        try:
            value, after = decoder.raw_decode(buffer, position)
        except (ValueError, RecursionError) as error:
            if ended or len(buffer) - position > LARGEST_ITEM:
                raise SeamError(f"{name} is truncated or no JSON array: {error}; write it again.") from error
        else:
            if after < len(buffer) or ended:
                yield value if isinstance(value, dict) else Bad("row: not a JSON object")
                position = after
                continue
        more = text.read(max(CHUNK, len(buffer) - position))
        buffer, position, ended = buffer[position:] + more, 0, not more


def read_parquet(path: Path, name: str) -> Iterator[Record]:
    """Rows of a parquet file, a batch at a time."""
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=512):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise SeamError(f"{name} is truncated or damaged parquet ({reason}); write it again.") from error


def _text(stream: BinaryIO) -> io.TextIOWrapper:
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def _ends_with_newline(stream: BinaryIO) -> bool:
    stream.seek(-1, io.SEEK_END)
    return stream.read(1) in (b"\n", b"\r")
