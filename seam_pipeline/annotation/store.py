"""Pairs and judgements in one SQLite file."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import SeamError
from ..llm._db import transaction
from ._judgement import Judgement, standing
from .pairs import Pair

MARK, FORMAT = 0x5EA4_AB01, 1
_TABLES = (
    "CREATE TABLE IF NOT EXISTS pairs (id TEXT PRIMARY KEY, instruction TEXT NOT NULL, response_1 TEXT NOT NULL, "
    "response_2 TEXT NOT NULL, extra TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS judgements (number INTEGER PRIMARY KEY, id TEXT NOT NULL, annotator TEXT NOT NULL, "
    "choice TEXT NOT NULL, left TEXT, seconds REAL, comment TEXT, at TEXT NOT NULL, pair TEXT)",
    "CREATE INDEX IF NOT EXISTS judgements_of ON judgements (annotator, id)",
)
_COLUMNS = ", ".join(Judgement._fields)


class AnnotationStore:
    """Judgements are only ever added: the latest of a person on a pair stands, the earlier ones are its history.

    Each call opens the file and commits before it returns, so several threads and processes may write at once, and a
    kill loses nothing that was answered.
    """

    def __init__(self, path: Path, *, make: bool = False) -> None:
        """Raises SeamError when the file is missing (without `make`) or is no annotation file of this format."""
        self.path = Path(path)
        if not make and not self.path.is_file():
            raise SeamError(f"{self.path}: there is no annotation file; `seam annotate` makes one.")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as db:
            self._prepare(db)

    def add_pairs(self, pairs: Sequence[Pair]) -> None:
        """Take up pairs that are not there. Raises SeamError when one was judged with other texts."""
        with self._open() as db, transaction(db):
            known = {pair.id: pair for pair in _pairs(db)}
            judged = {id_ for (id_,) in db.execute("SELECT DISTINCT id FROM judgements")}
            changed = [pair.id for pair in pairs if pair.id in judged and known.get(pair.id, pair).key != pair.key]
            if changed:
                raise SeamError(
                    f"{self.path}: {len(changed)} pairs (id {changed[0]!r} first) were judged with other texts than "
                    "those given now; give the pairs that were judged, or another file with --db."
                )
            db.executemany(
                "INSERT OR REPLACE INTO pairs VALUES (?, ?, ?, ?, ?)",
                [(*pair[:4], json.dumps(pair.extra, ensure_ascii=False)) for pair in pairs],
            )

    def pairs(self) -> list[Pair]:
        """All pairs, by id."""
        with self._open() as db:
            return _pairs(db)

    def add(self, judgements: Iterable[Judgement]) -> int:
        """Write all or none; one that is there already is left out. Returns how many were new."""
        places = ", ".join("?" * len(Judgement._fields))
        same = " AND ".join(f"{name} IS ?" for name in Judgement._fields)
        with self._open() as db, transaction(db):
            before = db.total_changes
            for row in judgements:
                db.execute(
                    f"INSERT INTO judgements ({_COLUMNS}) SELECT {places} "
                    f"WHERE NOT EXISTS (SELECT 1 FROM judgements WHERE {same})",
                    (*row, *row),
                )
            return db.total_changes - before

    def judgements(self, annotator: str | None = None, *, history: bool = False) -> list[Judgement]:
        """Standing judgements in the order in which they were first made, or all with `history`."""
        which, given = ("WHERE annotator = ?", (annotator,)) if annotator is not None else ("", ())
        with self._open() as db:
            rows = db.execute(f"SELECT {_COLUMNS} FROM judgements {which} ORDER BY number", given)
            found = [Judgement(*row) for row in rows]
        return found if history else standing(found)

    def annotators(self) -> dict[str, int]:
        """How many pairs each person has judged, by name."""
        with self._open() as db:
            return dict(
                db.execute("SELECT annotator, COUNT(DISTINCT id) FROM judgements GROUP BY annotator ORDER BY annotator")
            )

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        except sqlite3.Error as error:
            raise SeamError(f"{self.path} can't be opened ({error}); give another file with --db.") from error
        try:
            yield db
        except sqlite3.OperationalError as error:
            raise SeamError(f"{self.path} can't be used ({error}); see to the disk and the file's rights.") from error
        finally:
            db.close()

    def _prepare(self, db: sqlite3.Connection) -> None:
        try:
            (mark,), (version,) = (
                db.execute("PRAGMA application_id").fetchone(),
                db.execute("PRAGMA user_version").fetchone(),
            )
            empty = not db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            raise SeamError(f"{self.path} is no annotation file ({error}); give another with --db.") from error
        if not empty and mark != MARK:
            raise SeamError(f"{self.path} is a database, but not of annotations; give another file with --db.")
        if version > FORMAT:
            raise SeamError(f"{self.path} has format {version}, this version reads {FORMAT}; update seam_pipeline.")
        if empty:
            db.execute("PRAGMA journal_mode=WAL")
            with transaction(db):
                for table in _TABLES:
                    db.execute(table)
                db.execute(f"PRAGMA application_id={MARK}")
                db.execute(f"PRAGMA user_version={FORMAT}")


def _pairs(db: sqlite3.Connection) -> list[Pair]:
    rows = db.execute("SELECT id, instruction, response_1, response_2, extra FROM pairs ORDER BY id")
    return [Pair(id_, instruction, one, two, json.loads(extra)) for id_, instruction, one, two, extra in rows]
