"""Whole artifacts on an fsspec URL (S3-compatible storage, GCS, ...)."""

import json
import math
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import fsspec

from ..errors import SeamError
from ._record import FILE, payload_files

FRESH = 5.0
"""Seconds for which one listing of the records is believed."""
ABANDONED = 86400.0
"""Seconds after which files of an upload that never ended are removed by the next upload of the artifact."""
AT_ONCE = 8
"""Files sent or fetched at the same time."""
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "s3": {"config_kwargs": {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 3}}},
    "file": {"auto_mkdir": True},
}


class Published(NamedTuple):
    """An artifact that is whole on the remote."""

    record: dict[str, Any]
    place: str
    """Folder of the payload beside the record; empty: next to it (an artifact copied there by hand)."""
    time: float | None
    """When the record was written, seconds since 1970; None where the storage doesn't tell."""


class StoreUnreachableError(SeamError):
    """The storage does not answer: it may do so later."""


class MovedError(Exception):
    """Files of an artifact are gone: it has been replaced meanwhile."""


class Remote:
    """`<artifact>/record.json` names the folder `data-<version>-<random>` beside it, which holds the payload.

    A new artifact is sent to a folder of its own, then the record is replaced in one request, then the old folder is
    removed: whoever reads sees the old artifact or the new one, however an upload ends and however many write.
    Everything raises SeamError naming the URL when the storage cannot be reached or refuses.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.filesystem, self.root = _open(url)
        self._seen: dict[str, tuple[object, Published]] = {}
        self._listed = -math.inf

    def published(self, artifact: str) -> Published | None:
        """The artifact as it was at most FRESH seconds ago, or None; one listing serves all artifacts."""
        if time.monotonic() - self._listed > FRESH:
            self._list()
        entry = self._seen.get(artifact)
        return entry[1] if entry else None

    def forget(self) -> None:
        """List anew at the next question."""
        self._listed = -math.inf

    def upload(self, folder: Path, artifact: str, record: Mapping[str, Any], place: str) -> None:
        """Send a folder's payload to `place`, then the record; what is there already is not sent again."""
        target = f"{self.root}/{artifact}"
        with _reaching(self.url, "be written to"):
            old = self._read(f"{target}/{FILE}")
            self._send(folder, f"{target}/{place}")
            text = json.dumps({**record, "place": place}, indent=1, sort_keys=True) + "\n"
            self.filesystem.pipe_file(f"{target}/{FILE}", text.encode())
            self._seen[artifact] = (None, Published(dict(record), place, time.time()))
            if old is None or old.place != place:
                self._remove_old(target, old.place if old else None, place)

    def download(self, artifact: str, place: str, folder: Path) -> None:
        """Fetch a payload into an empty folder. Raises MovedError when it is not there any more."""
        source = f"{self.root}/{artifact}/{place}".rstrip("/")
        with _reaching(self.url, "be read"):
            try:
                names = [n for n in self._find(source) if place or _of_copy(n, source)]
                paths = [folder / name.removeprefix(source).lstrip("/") for name in names]
                for path in paths:
                    path.parent.mkdir(parents=True, exist_ok=True)
                if names:
                    self.filesystem.get(names, [str(path) for path in paths], **self._at_once)
            except FileNotFoundError as error:
                raise MovedError(source) from error

    def _list(self) -> None:
        with _reaching(self.url, "be read"):
            infos = {
                name.removeprefix(self.root).strip("/").removesuffix(f"/{FILE}"): info
                for name, info in self._find(self.root).items()
                if name.endswith(f"/{FILE}") and not _in_payload(name.removeprefix(self.root))
            }
            marks = {artifact: info.get("ETag") or info.get("mtime") for artifact, info in infos.items()}
            seen = {a: s for a, s in self._seen.items() if s[0] is not None and s[0] == marks.get(a)}
            changed = {self._path(artifact): artifact for artifact in marks if artifact not in seen}
            texts = self.filesystem.cat(list(changed), on_error="return") if changed else {}
            for name, text in texts.items():
                artifact = changed[name]
                if isinstance(text, bytes):
                    seen[artifact] = (marks[artifact], _published(name, text, _time(infos[artifact])))
                elif not isinstance(text, FileNotFoundError):
                    raise text
        self._seen, self._listed = seen, time.monotonic()

    def _path(self, artifact: str) -> str:
        return f"{self.root}/{artifact}/{FILE}"

    def _find(self, path: str) -> dict[str, Any]:
        self.filesystem.invalidate_cache()
        return dict(self.filesystem.find(path, detail=True))

    def _read(self, name: str) -> Published | None:
        try:
            return _published(name, self.filesystem.cat_file(name), None)
        except FileNotFoundError:
            return None

    def _send(self, folder: Path, target: str) -> None:
        there = {name: info.get("size") for name, info in self._find(target).items()}
        files = {f"{target}/{path.relative_to(folder).as_posix()}": path for path in payload_files(folder)}
        missing = {name: path for name, path in files.items() if there.get(name) != path.stat().st_size}
        if missing:
            self.filesystem.put([str(path) for path in missing.values()], list(missing), **self._at_once)

    @property
    def _at_once(self) -> dict[str, int]:
        return {"batch_size": AT_ONCE} if self.filesystem.async_impl else {}

    def _remove_old(self, target: str, replaced: str | None, place: str) -> None:
        """What the new record replaces, and uploads that never ended."""
        limit = time.time() - ABANDONED
        old = []
        for name, info in self._find(target).items():
            inside = name.removeprefix(target).strip("/").partition("/")[0]
            payload_of = inside if inside.startswith("data-") else ""
            written = _time(info)
            abandoned = bool(payload_of) and written is not None and written < limit
            if payload_of != place and name != f"{target}/{FILE}" and (payload_of == replaced or abandoned):
                old.append(name)
        if old:
            self.filesystem.rm(old)


def _open(url: str) -> tuple[Any, str]:
    protocol = url.partition("://")[0]
    options = _OPTIONS.get("s3" if protocol == "s3a" else protocol, {})
    try:
        filesystem, root = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        extra = "pip install 'seam-pipeline[s3]'" if protocol in ("s3", "s3a") else "install fsspec's package for it"
        raise SeamError(f"The store {url} cannot be opened ({error}); {extra}.") from error
    except ValueError as error:
        raise SeamError(f"The store {url} cannot be opened ({error}); correct SEAM_STORE.") from error
    return filesystem, root.rstrip("/")


def _published(name: str, text: bytes, written: float | None) -> Published:
    try:
        record = dict(json.loads(text))
        return Published(record, str(record.pop("place", "")), written)
    except (ValueError, TypeError) as error:
        raise SeamError(f"{name} on the store cannot be read ({error}); remove its folder to rebuild it.") from error


def _in_payload(name: str) -> bool:
    return any(part.startswith("data-") for part in name.split("/"))


def _of_copy(name: str, source: str) -> bool:
    inside = name.removeprefix(source).lstrip("/")
    return inside != FILE and not _in_payload(inside)


def _time(info: Mapping[str, Any]) -> float | None:
    found = info.get("LastModified", info.get("mtime"))
    return found.timestamp() if isinstance(found, datetime) else float(found) if found is not None else None


@contextmanager
def _reaching(url: str, what: str) -> Iterator[None]:
    try:
        yield
    except _storage_errors() as error:
        reason = re.sub(r"\?[^\s\"]*", "", " ".join(str(error).split())) or type(error).__name__
        lasting = isinstance(error, FileNotFoundError | PermissionError)
        raise (SeamError if lasting else StoreUnreachableError)(
            f"The store {url} could not {what} ({reason.rstrip('.')}); check SEAM_STORE, AWS_ENDPOINT_URL, the "
            "credentials and the network."
        ) from error


def _storage_errors() -> tuple[type[Exception], ...]:
    """OSError, and the roots of what the storage libraries in use raise besides."""
    found: list[type[Exception]] = [OSError]
    for module, name in (("botocore.exceptions", "BotoCoreError"), ("aiohttp", "ClientError")):
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)
