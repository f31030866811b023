"""Rows appended to a parquet file, a bounded buffer at a time."""

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

BUFFER = 8 << 20


class RowFile:
    """A parquet file that takes one row after another; `len()` is the number of rows so far."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd", compression_level=1)
        self._rows: list[tuple[object, ...]] = []
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
        if self._bytes >= BUFFER:
            self._flush()

    def add_table(self, table: pa.Table) -> None:
        """Append a table of the same schema."""
        self._flush()
        self._writer.write_table(table)
        self._count += table.num_rows

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(rows_to_table(self._rows, self.schema))
        self._rows, self._bytes = [], 0

    def close(self) -> None:
        """Write what is left and end the file."""
        self._flush()
        self._writer.close()


def rows_to_table(rows: list[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    """Tuples in the order of the schema, as a table."""
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
