"""Replies kept in SQLite, one row per question that was answered."""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from ..experiment import LLMEndpoint


class Stored(NamedTuple):
    """A reply as kept: `text`, or why the model gave none; token counts as the server reported them."""

    text: str | None
    reason: str | None
    truncated: bool
    prompt_tokens: int | None
    completion_tokens: int | None


def reply_key(base_url: str, endpoint: LLMEndpoint, messages: Sequence[tuple[str, str]], sample: int) -> str:
    """Hash of everything that changes the answer: the messages hold the template's text, so its hash is in here.

    Mode, concurrency, time-outs, retries, budgets and prices are not in it: a batch and a direct request share a key.
    """
    parts = [base_url, endpoint.model, endpoint.temperature, endpoint.max_tokens, list(map(list, messages)), sample]
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode("utf-8", "surrogatepass")).hexdigest()


class ReplyCache:
    """Replies by key; every `put` outlives the process when it returns, so an interrupted run loses nothing."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def get(self, key: str) -> Stored | None:
        """The kept reply, if there is one."""
        columns = "text, reason, truncated, prompt_tokens, completion_tokens"
        row = self._db.execute(f"SELECT {columns} FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else Stored(row[0], row[1], bool(row[2]), row[3], row[4])

    def put(self, key: str, model: str, reply: Stored) -> None:
        """Keep a reply."""
        self._db.execute(
            "INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?, ?, ?)",
            (key, *reply[:2], int(reply[2]), *reply[3:], model),
        )
