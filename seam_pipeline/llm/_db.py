"""The SQLite file behind a client: replies, spending and batches."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import SeamError

_TABLES = (
    "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, text TEXT, reason TEXT, truncated INTEGER NOT NULL, "
    "prompt_tokens INTEGER, completion_tokens INTEGER, model TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS spending (purpose TEXT, base_url TEXT, model TEXT, mode TEXT, "
    "requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, "
    "PRIMARY KEY (purpose, base_url, model, mode))",
    "CREATE TABLE IF NOT EXISTS reserved (id INTEGER PRIMARY KEY, purpose TEXT, base_url TEXT, model TEXT, mode TEXT, "
    "prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL)",
    "CREATE TABLE IF NOT EXISTS batches (tag TEXT PRIMARY KEY, purpose TEXT, base_url TEXT, model TEXT, "
    "content TEXT NOT NULL, keys TEXT NOT NULL, reservation INTEGER NOT NULL, batch_id TEXT, state TEXT NOT NULL)",
)


@contextmanager
def open_db(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, made when it is not there. Raises SeamError for a file that is no database."""
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=60, isolation_level=None)
    try:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            for table in _TABLES:
                db.execute(table)
        except sqlite3.DatabaseError as error:
            raise SeamError(f"{path} is not a reply cache ({error}); move it away and run again.") from error
        yield db
    finally:
        db.close()


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, and no other process writes in between; inside another one it is a part of that one."""
    if db.in_transaction:
        yield
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
