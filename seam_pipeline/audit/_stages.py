"""Stages as parquet files that carry the stamp of what they were made from: a killed audit goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from ..progress import Progress
from ..rowcache import row_key
from ..wholefile import write_whole

STAMP = b"seam_stamp"


class Watch(Protocol):
    """Whoever shows the progress of an audit."""

    def begin(self, stage: str) -> Progress:
        """A stage starts; steps are reported to what is returned."""

    def end(self, stage: str, reused: bool) -> None:
        """The stage is finished, or was found finished."""


class Unwatched:
    """Shows nothing."""

    def begin(self, stage: str) -> Progress:
        """Nothing to show."""
        return lambda done, total: None

    def end(self, stage: str, reused: bool) -> None:
        """Nothing to show."""


class Stages:
    """Tables `<folder>/<name>.parquet`, each written whole or not at all."""

    def __init__(self, folder: Path, watch: Watch) -> None:
        self.folder, self.watch = folder, watch

    def finished(self, name: str, stamp: str) -> bool:
        """Whether the stage's table is there and was made from the same inputs."""
        return _stamp_of(self._path(name)) == stamp

    def table(self, name: str, stamp: str, make: Callable[[Progress], pa.Table]) -> pa.Table:
        """The stage's table, made now unless it is finished."""
        progress = self.watch.begin(name)
        return self.kept(name, stamp, lambda: make(progress))

    def kept(self, name: str, stamp: str, make: Callable[[], pa.Table]) -> pa.Table:
        """The same for a stage that the caller has begun."""
        path = self._path(name)
        reused = self.finished(name, stamp)
        if not reused:
            found = make()
            stamped = found.replace_schema_metadata({**(found.schema.metadata or {}), STAMP: stamp.encode()})
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, lambda place: pq.write_table(stamped, place, compression="zstd"))
        self.watch.end(name, reused)
        return pq.read_table(path).replace_schema_metadata(None)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"


def _stamp_of(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        return ((pq.read_schema(path).metadata or {}).get(STAMP) or b"").decode()
    except (pa.ArrowException, OSError):
        return None


def stamp(*parts: object) -> str:
    """Everything that changes a stage's result, as text."""
    return row_key(*parts).hex()


def content(table: pa.Table) -> str:
    """A hash of a table's values."""
    return row_key(table.to_pydict()).hex()
