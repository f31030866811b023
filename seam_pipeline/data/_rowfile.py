"""Rows appended to parquet files, a bounded buffer at a time."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

BUFFER = 8 << 20
"""Bytes of text a file gathers before it writes a row group."""

MOST_BUCKETS = 256
BUCKET_BUFFERS = 96 << 20
"""Bytes of text that all buckets together gather."""


class RowFile:
    """A parquet file that takes one row after another; `len()` is the number of rows so far."""

    def __init__(self, path: Path, schema: pa.Schema, buffer: int = BUFFER) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", compression_level=1)
        self._rows: list[tuple[object, ...]] = []
        self._buffer = buffer
        self._bytes = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, row: tuple[object, ...]) -> None:
        """Append one row, given in the order of the schema."""
        self._rows.append(row)
        self._count += 1
        self._bytes += 64 + sum(len(value) for value in row if isinstance(value, str))
        if self._bytes >= self._buffer:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(rows_to_table(self._rows, self.schema))
        self._rows, self._bytes = [], 0

    def close(self) -> None:
        """Write what is left and end the file."""
        self._flush()
        self._writer.close()


class Buckets:
    """Rows divided by a hash over several files, so that a join or a sort takes one file at a time.

    All rows with one key lie in one file, and the keys of a file come before those of the next. With `count` chosen by
    `buckets_for` a file fits in memory, whatever the size of the whole. `buffers` bounds what waits to be written.
    """

    def __init__(self, folder: Path, schema: pa.Schema, count: int, buffers: int = BUCKET_BUFFERS) -> None:
        self.folder = folder
        self.schema = schema
        self.count = count
        self._buffer = min(BUFFER, buffers // count)
        self._files: dict[int, RowFile] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()

    def add(self, key: str, row: tuple[object, ...]) -> None:
        """Append a row to the bucket of `key`, a hash in hexadecimal digits."""
        number = int(key[:8], 16) * self.count >> 32
        file = self._files.get(number)
        if file is None:
            file = RowFile(self.path(number), self.schema, self._buffer)
            self._files[number] = file
        file.add(row)

    def path(self, number: int) -> Path:
        """Where bucket `number` lies; there is no file if no row fell into it."""
        return self.folder / f"{number:03}.parquet"

    def paths(self) -> Iterator[Path | None]:
        """The closed files in the order of their keys, None for an empty bucket."""
        for number in range(self.count):
            yield self.path(number) if number in self._files else None


def buckets_for(size: int, per_bucket: int = 96 << 20) -> int:
    """How many buckets rows of `size` bytes need."""
    return max(1, min(MOST_BUCKETS, -(-size // per_bucket)))


def rows_to_table(rows: list[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    """Tuples in the order of the schema, as a table."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
