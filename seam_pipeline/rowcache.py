"""Results kept row by row: one changed row costs one row's work, and a killed step goes on where it stood."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .errors import SeamError

_AT_ONCE = 500
"""Keys per query; SQLite allows 999 variables on old builds."""


def row_key(*parts: Any) -> bytes:
    """16 bytes of a sha256 over JSON-able parts: everything that changes the result, nothing that changes the speed."""
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


class RowCache:
    """Values by key in one SQLite file, several processes at once; open it as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(self.path, timeout=60)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(
                "CREATE TABLE IF NOT EXISTS rows (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
            )
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise SeamError(f"{self.path} is not a row cache ({error}); move it away and run again.") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._db.close()

    def find(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """The kept values of those keys that have one."""
        found: dict[bytes, bytes] = {}
        for some in _groups(dict.fromkeys(keys)):
            marks = ",".join("?" * len(some))
            found.update(self._db.execute(f"SELECT key, value FROM rows WHERE key IN ({marks})", some))
        return found

    def keep(self, values: Mapping[bytes, bytes]) -> None:
        """Write values, all or none; a process killed afterwards loses nothing."""
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?)", values.items())


def _groups(keys: Iterable[bytes]) -> Iterable[list[bytes]]:
    keys = list(keys)
    return (keys[start : start + _AT_ONCE] for start in range(0, len(keys), _AT_ONCE))
