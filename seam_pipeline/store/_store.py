"""Artifacts as folders on a local disk, mirrored to any fsspec URL when the store is remote."""

import json
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import SeamError
from ._lock import PATIENCE, held
from ._mirror import Mirror, put_in_place
from ._record import FILE, RECIPE_FILE, NewerFormatError, Record, hash_folder
from ._remote import Remote


class Store:
    """`<root>/<asset>/<partition>/` holds payload files and `record.json`.

    A write fills a sibling `.partial` folder and renames it, so a reader sees the old artifact or the new one.
    A `.partial` folder survives a kill; it is taken up again only by the same recipe.
    """

    def __init__(self, root: str, mirror: Path | None = None, experiment: str | None = None) -> None:
        """`root` is a local path or an fsspec URL; a remote store needs `mirror`, a local cache folder.

        With `experiment`, artifacts of another one are refused.
        """
        if "://" in root and mirror is None:
            raise SeamError(f"The store {root} is remote and needs a local mirror folder.")
        self.root = (mirror if "://" in root and mirror else Path(root)).absolute()
        self.mirror = Mirror(Remote(root), self.root) if "://" in root else None
        self.experiment = experiment
        self.place = root if "://" in root else str(self.root)
        """Where it is, for people."""

    def path(self, asset: str, partition: str | None = None) -> Path:
        """Local folder of an artifact; the grid's `pm01|rm02` becomes two levels."""
        return self.root.joinpath(asset, *(partition.split("|") if partition else ("all",)))

    def record(self, asset: str, partition: str | None = None) -> Record | None:
        """The artifact's record, or None when there is no whole artifact.

        Raises SeamError for one that cannot be read: of a later version, of another experiment, or cut short.
        """
        artifact = self._relative(self.path(asset, partition))
        relative = f"{artifact}/{FILE}"
        try:
            text = self.mirror.record_text(artifact) if self.mirror else _read_text(self.root / relative)
            if text is None:
                return None
            record = Record.from_json(text)
        except NewerFormatError as error:
            raise SeamError(
                f"{self.place}/{relative} was made by a newer version of seam_pipeline ({error}); upgrade "
                "seam_pipeline, or set SEAM_STORE to another place."
            ) from error
        except (ValueError, TypeError, KeyError) as error:
            raise SeamError(
                f"{self.place}/{relative} cannot be read ({error}); remove its folder to rebuild it."
            ) from error
        if self.experiment not in (None, record.experiment):
            raise SeamError(
                f"The store {self.place} belongs to experiment {record.experiment}, not to {self.experiment}; give "
                f"-e {record.experiment}, or set SEAM_STORE to another place."
            )
        return record

    def lock(
        self, asset: str, partition: str | None = None, patience: float = PATIENCE
    ) -> AbstractContextManager[None]:
        """Held while the artifact is made, by one process of this machine.

        Raises SeamError where another holds it longer than `patience` seconds.
        """
        label = asset if partition is None else f"{asset} [{partition}]"
        return held(self.root / ".locks" / asset / (partition or "all").replace("|", "-"), label, patience)

    def unfinished(self, asset: str, partition: str | None = None) -> str | None:
        """Recipe of an attempt that was begun and that has not ended in an artifact."""
        return _read_text(self._staging(asset, partition) / RECIPE_FILE)

    def stage(self, asset: str, partition: str | None, recipe: str) -> Path:
        """A folder to fill; what an interrupted run of the same recipe left there is kept."""
        staging = self._staging(asset, partition)
        if staging.exists() and _read_text(staging / RECIPE_FILE) != recipe:
            shutil.rmtree(staging)
        staging.mkdir(parents=True, exist_ok=True)
        (staging / RECIPE_FILE).write_text(recipe)
        return staging

    def hash_staged(self, asset: str, partition: str | None) -> str:
        """Data version of what was staged."""
        return hash_folder(self._staging(asset, partition))

    def commit(self, record: Record) -> Path:
        """Put the staged folder in the artifact's place."""
        staging = self._staging(record.asset, record.partition)
        (staging / FILE).write_text(record.to_json())
        final = self.path(record.asset, record.partition)
        if self.mirror:
            self.mirror.note(staging)
        put_in_place(staging, final)
        (final / RECIPE_FILE).unlink(missing_ok=True)  # only now: killed before, the same recipe takes the folder up
        if self.mirror:
            self.mirror.upload(self._relative(final))
        return final

    def refresh(self) -> None:
        """See what other machines have made until now, and send a remote store what an earlier run could not."""
        if self.mirror:
            self.mirror.remote.forget()
            self.mirror.upload_all()

    def local(self, asset: str, partition: str | None = None) -> Path:
        """The artifact's folder on this machine, as it is in the store now; it may not exist."""
        folder = self.path(asset, partition)
        if self.mirror:
            self.mirror.fetch(self._relative(folder))
        return folder

    def load(self, asset: str, partition: str | None = None) -> Any:
        """The artifact's value: a table, a dict of tables, a folder's path or a JSON value.

        Raises SeamError when it is missing or a blocking check refused it.
        """
        label = asset if partition is None else f"{asset} [{partition}]"
        record = self.record(asset, partition)
        if record is None and self.mirror:
            self.mirror.remote.forget()  # another machine may just have made it
            record = self.record(asset, partition)
        if record is None:
            raise SeamError(f"{label} has not been made yet; materialise it first, or use `seam run`.")
        if record.failed_checks:
            raise SeamError(
                f"{label} was refused by {', '.join(record.failed_checks)}; mend its inputs and make it again."
            )
        return read_payload(self.local(asset, partition), record.kind)

    def _staging(self, asset: str, partition: str | None) -> Path:
        final = self.path(asset, partition)
        return final.with_name(f".{final.name}.partial")

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def write_payload(folder: Path, value: Any) -> str:
    """Write a value into a staged folder and name its kind; a Path means the caller has filled the folder."""
    if isinstance(value, pa.Table):
        pq.write_table(value, folder / "table.parquet", compression="zstd")
        return "table"
    if isinstance(value, dict) and value and all(isinstance(v, pa.Table) for v in value.values()):
        for name, table in value.items():
            pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
        return "tables"
    if isinstance(value, Path):
        return "folder"
    (folder / "value.json").write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    return "json"


def read_payload(folder: Path, kind: str) -> Any:
    """Inverse of write_payload."""
    if kind == "table":
        return pq.read_table(folder / "table.parquet")
    if kind == "tables":
        return {p.stem: pq.read_table(p) for p in sorted(folder.glob("*.parquet"))}
    if kind == "json":
        return json.loads((folder / "value.json").read_text())
    return folder


def _read_text(path: Path) -> str | None:
    return path.read_text() if path.is_file() else None
