"""Artifacts as folders on a local disk, mirrored to any fsspec URL when the store is remote."""

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import SeamError
from ._record import FILE, Record, hash_folder
from ._remote import Remote

RECIPE_FILE = ".recipe"


class Store:
    """`<root>/<asset>/<partition>/` holds payload files and `record.json`.

    A write fills a sibling `.partial` folder and renames it, so a reader sees the old artifact or the new one.
    A `.partial` folder survives a kill; it is taken up again only by the same recipe.
    """

    def __init__(self, root: str, mirror: Path | None = None) -> None:
        """`root` is a local path or an fsspec URL; a remote store needs `mirror`, a local cache folder."""
        self.remote = Remote(root) if "://" in root else None
        if self.remote and mirror is None:
            raise SeamError(f"The store {root} is remote and needs a local mirror folder.")
        self.root = (mirror if self.remote and mirror else Path(root)).absolute()

    def path(self, asset: str, partition: str | None = None) -> Path:
        """Local folder of an artifact; the grid's `pm01|rm02` becomes two levels."""
        return self.root.joinpath(asset, *(partition.split("|") if partition else ("all",)))

    def record(self, asset: str, partition: str | None = None) -> Record | None:
        """The artifact's record, or None when there is no whole artifact. Raises SeamError for a foreign format."""
        relative = self._relative(self.path(asset, partition)) + f"/{FILE}"
        text = self.remote.read_text(relative) if self.remote else _read_text(self.root / relative)
        if text is None:
            return None
        try:
            return Record.from_json(text)
        except (ValueError, TypeError, KeyError) as error:
            raise SeamError(
                f"{self.root / relative} cannot be read ({error}); remove its folder to rebuild it."
            ) from error

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
        staging = self._staging(asset, partition)
        (staging / RECIPE_FILE).unlink(missing_ok=True)
        return hash_folder(staging)

    def commit(self, record: Record) -> Path:
        """Put the staged folder in the artifact's place."""
        staging = self._staging(record.asset, record.partition)
        (staging / FILE).write_text(record.to_json())
        final = self.path(record.asset, record.partition)
        old = final.with_name(f".{final.name}.old-{uuid.uuid4().hex[:8]}")
        if final.exists():
            os.rename(final, old)
        os.rename(staging, final)
        shutil.rmtree(old, ignore_errors=True)
        if self.remote:
            self.remote.upload(final, self._relative(final), last=FILE)
        return final

    def load(self, asset: str, partition: str | None = None) -> Any:
        """The artifact's value: a table, a dict of tables, a folder's path or a JSON value.

        Raises SeamError when it is missing or a blocking check refused it.
        """
        label = asset if partition is None else f"{asset} [{partition}]"
        record = self.record(asset, partition)
        if record is None:
            raise SeamError(f"{label} has not been made yet; materialise it first, or use `seam run`.")
        if record.failed_checks:
            raise SeamError(
                f"{label} was refused by {', '.join(record.failed_checks)}; mend its inputs and make it again."
            )
        return read_payload(self._local(asset, partition, record), record.kind)

    def _local(self, asset: str, partition: str | None, record: Record) -> Path:
        folder = self.path(asset, partition)
        if self.remote and _read_text(folder / FILE) != record.to_json():
            shutil.rmtree(folder, ignore_errors=True)
            self.remote.download(self._relative(folder), folder, last=FILE)
        return folder

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
