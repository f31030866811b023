"""Batches that were meant or made, so that a restart finds them."""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ._cache import ReplyCache
from ._db import transaction
from ._ledger import Ledger
from ._reply import Asked, Tokens


class Open(NamedTuple):
    """A batch whose results are not in yet; `batch_id` is None while it is not known to be at the server."""

    tag: str
    keys: tuple[str, ...]
    reservation: int
    batch_id: str | None


class BatchStore:
    """The batches of one purpose at one address on one model."""

    def __init__(self, db: sqlite3.Connection, ledger: Ledger, scope: tuple[str, str, str]) -> None:
        self._db, self._ledger, self._scope = db, ledger, scope

    def open(self) -> list[Open]:
        """Batches to collect, oldest first."""
        found = self._db.execute(
            "SELECT tag, keys, reservation, batch_id FROM batches WHERE state = 'open' AND "
            "purpose = ? AND base_url = ? AND model = ? ORDER BY rowid",
            self._scope,
        )
        return [Open(tag, tuple(json.loads(keys)), reservation, id) for tag, keys, reservation, id in found]

    def intend(self, keys: Sequence[str], worst: Tokens) -> Open | None:
        """Write down, before anything is sent, what will be; None when the budget does not hold it.

        The tag follows from the rows and from how many batches of just these rows are done: a lost cache finds its
        batch at the server again, a row that failed is asked in a new one.
        """
        content = hashlib.sha256(json.dumps([*self._scope[1:], sorted(keys)]).encode()).hexdigest()
        with transaction(self._db):
            query = "SELECT count(*) FROM batches WHERE content = ? AND state = 'done'"
            (attempt,) = self._db.execute(query, (content,)).fetchone()
            tag = hashlib.sha256(f"{content} {attempt}".encode()).hexdigest()[:40]
            reservation = self._ledger.reserve(worst)
            if reservation is None:
                return None
            self._db.execute(
                "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, NULL, 'open')",
                (tag, *self._scope, content, json.dumps(list(keys)), reservation),
            )
        return Open(tag, tuple(keys), reservation, None)

    def submitted(self, batch: Open, batch_id: str) -> Open:
        """The server has it under this id."""
        self._db.execute("UPDATE batches SET batch_id = ? WHERE tag = ?", (batch_id, batch.tag))
        return batch._replace(batch_id=batch_id)

    def drop(self, batch: Open) -> None:
        """The server does not have it and will not: forget it and free its budget."""
        with transaction(self._db):
            self._db.execute("DELETE FROM batches WHERE tag = ?", (batch.tag,))
            self._ledger.settle(batch.reservation)

    def collect(
        self, batch: Open, cache: ReplyCache, results: Mapping[str, Asked], paid: Iterable[Tokens], model: str
    ) -> bool:
        """Keep the answers, book the tokens and close the batch, all or nothing; False if another process has."""
        with transaction(self._db):
            closed = self._db.execute(
                "UPDATE batches SET state = 'done' WHERE tag = ? AND state = 'open'", (batch.tag,)
            )
            if not closed.rowcount:
                return False
            for key, asked in results.items():
                if asked.answered:
                    cache.put(key, model, asked.reply)
            tokens = list(paid)
            total = Tokens(sum(t.prompt for t in tokens), sum(t.completion for t in tokens))
            self._ledger.settle(batch.reservation, total, sum(asked.billed for asked in results.values()))
        return True
