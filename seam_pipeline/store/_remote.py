"""Copying whole artifacts to and from an fsspec URL (S3-compatible storage, GCS, ...)."""

from pathlib import Path

import fsspec


class Remote:
    """A remote root; an artifact counts as present once its `last` file is."""

    def __init__(self, url: str) -> None:
        self.filesystem, self.root = fsspec.core.url_to_fs(url)

    def read_text(self, relative: str) -> str | None:
        """Content of a small file, or None when it is absent."""
        path = f"{self.root}/{relative}"
        self.filesystem.invalidate_cache()
        return self.filesystem.cat_file(path).decode() if self.filesystem.exists(path) else None

    def upload(self, folder: Path, relative: str, last: str) -> None:
        """Replace the remote copy; it is absent, never half new, while this runs."""
        target = f"{self.root}/{relative}"
        if self.filesystem.exists(f"{target}/{last}"):
            self.filesystem.rm_file(f"{target}/{last}")
        if self.filesystem.exists(target):
            self.filesystem.rm(target, recursive=True)
        files = sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: (p.name == last, p))
        for path in files:
            name = f"{target}/{path.relative_to(folder).as_posix()}"
            self.filesystem.makedirs(name.rsplit("/", 1)[0], exist_ok=True)
            self.filesystem.put_file(str(path), name)

    def download(self, relative: str, folder: Path, last: str) -> None:
        """Fetch a whole artifact, the `last` file at the end."""
        source = f"{self.root}/{relative}"
        for name in sorted(self.filesystem.find(source), key=lambda n: n.endswith(f"/{last}")):
            path = folder / name.removeprefix(source).lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            self.filesystem.get_file(name, str(path))
