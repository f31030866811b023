"""The local copies of a remote store's artifacts, and what has still to be uploaded."""

import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import SeamError
from ._record import FILE, UPLOAD_FILE, hash_folder
from ._remote import MovedError, Published, Remote

TRIES = 3
"""Downloads of an artifact that others replace meanwhile."""


class Mirror:
    """A folder with what this machine has made or read of a remote store.

    A new artifact carries a note until it has been uploaded; as long as nothing newer is on the remote, it counts as
    the store's.
    """

    def __init__(self, remote: Remote, root: Path) -> None:
        self.remote = remote
        self.root = root

    def record_text(self, artifact: str) -> str | None:
        """The record's JSON, or None when there is no whole artifact. Raises SeamError as Remote does."""
        published = self.remote.published(artifact)
        if self._waits(artifact, published):
            return (self.root / artifact / FILE).read_text()
        return None if published is None else json.dumps(published.record)

    def note(self, staging: Path) -> None:
        """Say in a finished artifact that it has to be uploaded, and to which place."""
        place = f"data-{json.loads((staging / FILE).read_text())['data_version']}-{secrets.token_hex(4)}"
        (staging / UPLOAD_FILE).write_text(json.dumps({"place": place, "made": time.time()}))

    def upload(self, artifact: str, wait: bool = True) -> None:
        """Send an artifact with such a note. Another process that is at it is waited for, or it is left to that one.

        Raises SeamError; the artifact is kept and is sent another time.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.root / ".locks" / "uploads" / f"{artifact.replace('/', '-')}.lock")
        Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
        try:
            with lock.acquire(timeout=-1 if wait else 0):
                self._upload(artifact)
        except Timeout:
            return

    def _upload(self, artifact: str) -> None:
        folder = self.root / artifact
        note = _note(folder)
        if note is None:
            return
        try:
            self.remote.upload(folder, artifact, json.loads((folder / FILE).read_text()), note["place"])
        except SeamError as error:
            raise type(error)(f"{error} {artifact} is kept in {folder}; the next `seam run` uploads it.") from error
        (folder / UPLOAD_FILE).unlink(missing_ok=True)

    def upload_all(self) -> None:
        """Send what an earlier run could not, but for what somebody has replaced since."""
        for artifact in sorted(self._noted()):
            if self._waits(artifact, self.remote.published(artifact)):
                self.upload(artifact, wait=False)
            else:
                (self.root / artifact / UPLOAD_FILE).unlink(missing_ok=True)

    def _noted(self) -> Iterator[str]:
        for place, folders, files in os.walk(self.root):
            folders[:] = [name for name in folders if not name.startswith(".")]  # not in their places yet
            if UPLOAD_FILE in files:
                yield Path(place).relative_to(self.root).as_posix()

    def fetch(self, artifact: str) -> None:
        """Bring the local copy up to date. Raises SeamError when what is on the remote is not what its record says."""
        for _ in range(TRIES):
            published = self.remote.published(artifact)
            if published is None or self._waits(artifact, published) or self._has(artifact, published):
                return
            if self._download(artifact, published):
                return
            self.remote.forget()
        raise SeamError(
            f"{self.remote.url}/{artifact} is not what its record says, files are missing or changed; remove this "
            "folder there to have it made again."
        )

    def _download(self, artifact: str, published: Published) -> bool:
        folder = self.root / artifact
        beside = folder.with_name(f".{folder.name}.download-{secrets.token_hex(4)}")
        beside.mkdir(parents=True)
        try:
            self.remote.download(artifact, published.place, beside)
            if hash_folder(beside) != published.record.get("data_version"):
                return False
            (beside / FILE).write_text(json.dumps(published.record, indent=1, sort_keys=True) + "\n")
            put_in_place(beside, folder)
        except MovedError:
            return False
        finally:
            shutil.rmtree(beside, ignore_errors=True)
        return True

    def _waits(self, artifact: str, published: Published | None) -> bool:
        note = _note(self.root / artifact)
        if note is None:
            return False
        return published is None or published.time is None or published.time <= note["made"]

    def _has(self, artifact: str, published: Published) -> bool:
        try:
            return json.loads((self.root / artifact / FILE).read_text()) == published.record
        except (FileNotFoundError, ValueError):
            return False


def put_in_place(new: Path, final: Path) -> None:
    """Rename a whole folder to `final`, which it replaces; another process may do the same at the same time."""
    old = final.with_name(f".{final.name}.old-{secrets.token_hex(4)}")
    while True:
        if final.exists():
            try:
                os.rename(final, old)
            except FileNotFoundError:
                continue
        try:
            os.rename(new, final)
            break
        except OSError:
            if not new.exists() or not final.exists():
                raise
    shutil.rmtree(old, ignore_errors=True)


def _note(folder: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads((folder / UPLOAD_FILE).read_text()))
    except FileNotFoundError:
        return None
