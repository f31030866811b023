"""Replies kept in SQLite, one row per question that was answered."""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from ..errors import SeamError
from ..experiment import LLMEndpoint

_TABLE = (
    "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, text TEXT, reason TEXT, truncated INTEGER NOT NULL, "
    "prompt_tokens INTEGER, completion_tokens INTEGER, model TEXT NOT NULL)"
)


class Stored(NamedTuple):
    """A reply as kept: `text`, or why the model gave none; token counts as the server reported them."""

    text: str | None
    reason: str | None
    truncated: bool
    prompt_tokens: int | None
    completion_tokens: int | None


def reply_key(base_url: str, endpoint: LLMEndpoint, messages: Sequence[tuple[str, str]], sample: int) -> str:
    """Hash of everything that changes the answer; concurrency, time-outs, retries and prices are not in it."""
    parts = [base_url, endpoint.model, endpoint.temperature, endpoint.max_tokens, list(map(list, messages)), sample]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode()).hexdigest()


class ReplyCache:
    """A context manager over the file; every `put` is on disk when it returns, so an interrupted run loses nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(self._path, timeout=60)
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(_TABLE)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise SeamError(f"{self._path} is not a reply cache ({error}); move it away and run again.") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._db.close()

    def get(self, key: str) -> Stored | None:
        """The kept reply, if there is one."""
        columns = "text, reason, truncated, prompt_tokens, completion_tokens"
        with closing(self._db.execute(f"SELECT {columns} FROM replies WHERE key = ?", (key,))) as found:
            row = found.fetchone()
        return None if row is None else Stored(row[0], row[1], bool(row[2]), row[3], row[4])

    def put(self, key: str, model: str, reply: Stored) -> None:
        """Keep a reply."""
        with self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, *reply[:2], int(reply[2]), *reply[3:], model),
            )
