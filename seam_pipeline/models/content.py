"""A hash of what a file or folder contains."""

import hashlib
from pathlib import Path

from ..errors import SeamError

CHUNK = 1 << 20


def content_hash(folder_or_file: Path) -> str:
    """sha256 (hex) over sorted relative file names, sizes and bytes; a file's own name doesn't count.

    Raises SeamError when there is nothing at the path.
    """
    path = Path(folder_or_file)
    if not path.exists():
        raise SeamError(f"Nothing at {path} to hash; give an existing file or folder.")
    digest = hashlib.sha256()
    if path.is_file():
        _feed(digest, path)
        return digest.hexdigest()
    files = {item.relative_to(path).as_posix(): item for item in path.rglob("*") if item.is_file()}
    for name in sorted(files):
        digest.update(f"{len(name.encode())}:{name}:{files[name].stat().st_size}:".encode())
        _feed(digest, files[name])
    return digest.hexdigest()


def _feed(digest: "hashlib._Hash", path: Path) -> None:
    with path.open("rb") as stream:
        while block := stream.read(CHUNK):
            digest.update(block)
