"""Embeddings kept by text in one growing file per model, mapped into memory when read."""

import hashlib
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import SeamError

Keys = NDArray[np.bytes_]
"""[n] of 16 bytes each."""


def text_keys(texts: Iterable[str]) -> Keys:
    """16 bytes of a sha256 per text."""
    found = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16] for text in texts]
    return np.array(found, dtype="S16")


class MappedVectors:
    """Vectors [N, D] in the order asked for; rows are read from the file as they are wanted."""

    def __init__(self, path: Path, rows: NDArray[np.int64], width: int) -> None:
        self._rows = rows
        size = (int(rows.max()) + 1) * width if len(rows) else 0
        file = np.memmap(path, dtype=np.float32, mode="r", shape=(size,)) if size else np.zeros(0, np.float32)
        self._file = file.reshape(-1, width)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: Any) -> NDArray[np.float32]:
        """A copy of some rows, by slice or index array."""
        return np.asarray(self._file[self._rows[rows]])


class EmbeddingCache:
    """One model's vectors: `vectors.f32` row after row, `keys.sqlite` saying which text has which row.

    A key is committed after its vector is on disk, under SQLite's lock: a killed process leaves at most vectors
    without a key, which the next writer overwrites; several processes may add at once. Open as a context manager.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.path = self.folder / "vectors.f32"

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        where = self.folder / "keys.sqlite"
        self._db = sqlite3.connect(where, timeout=60, isolation_level=None)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute("CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, row INTEGER NOT NULL)")
            self._db.execute("CREATE TABLE IF NOT EXISTS width (only_one INTEGER PRIMARY KEY, value INTEGER NOT NULL)")
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise SeamError(f"{where} is not an embedding cache ({error}); move {self.folder} away.") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._db.close()

    @property
    def width(self) -> int | None:
        """D of the vectors; None while there are none."""
        found = self._db.execute("SELECT value FROM width").fetchone()
        return int(found[0]) if found else None

    def rows(self, keys: Keys) -> NDArray[np.int64]:
        """[n]: the file's row of each key, -1 where there is none."""
        width = self.width
        if width is None or not self.path.is_file():
            return np.full(len(keys), -1, dtype=np.int64)
        whole = self.path.stat().st_size // (4 * width)
        known, rows = self._all(whole)
        order = np.argsort(known)
        known, rows = known[order], rows[order]
        if not len(known):
            return np.full(len(keys), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[at] == keys, rows[at], -1)

    def _all(self, whole: int) -> tuple[Keys, NDArray[np.int64]]:
        cursor = self._db.execute("SELECT key, row FROM rows WHERE row < ?", (whole,))
        keys, rows = [np.zeros(0, dtype="S16")], [np.zeros(0, dtype=np.int64)]
        while some := cursor.fetchmany(65_536):
            keys.append(np.array([key for key, _ in some], dtype="S16"))
            rows.append(np.array([row for _, row in some], dtype=np.int64))
        return np.concatenate(keys), np.concatenate(rows)

    def add(self, keys: Keys, vectors: NDArray[np.float32]) -> None:
        """Keep vectors [n, D]; a key that is there already keeps its own."""
        width = vectors.shape[1]
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if self.width not in (None, width):
                raise SeamError(f"{self.folder} holds vectors of {self.width} numbers, not {width}; move it away.")
            self._db.execute("INSERT OR IGNORE INTO width VALUES (1, ?)", (width,))
            first = self._end(width)
            with self.path.open("r+b" if self.path.exists() else "w+b") as file:
                file.seek(first * 4 * width)
                file.write(np.ascontiguousarray(vectors, dtype="<f4").tobytes())
                file.flush()
                os.fsync(file.fileno())
            # numpy's bytes drop trailing zeros
            named = [(key.ljust(16, b"\0"), first + i) for i, key in enumerate(keys.tolist())]
            self._db.executemany("INSERT OR IGNORE INTO rows VALUES (?, ?)", named)
            self._db.execute("COMMIT")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise

    def _end(self, width: int) -> int:
        """First free row; keys whose vectors were cut off or deleted are forgotten."""
        whole = self.path.stat().st_size // (4 * width) if self.path.exists() else 0
        self._db.execute("DELETE FROM rows WHERE row >= ?", (whole,))
        last = self._db.execute("SELECT MAX(row) FROM rows").fetchone()[0]
        return 0 if last is None else int(last) + 1
