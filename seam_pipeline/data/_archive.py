"""`Posts.xml` out of a 7z archive."""

import lzma
import shutil
import struct
from pathlib import Path, PurePosixPath

import py7zr
from py7zr.exceptions import AbsolutePathError, ArchiveError, PasswordRequired

from seam_pipeline.errors import SeamError

_REFUSED = (ArchiveError, PasswordRequired, AbsolutePathError)
_DAMAGE = (*_REFUSED, EOFError, OSError, ValueError, KeyError, IndexError, struct.error, lzma.LZMAError)


def posts_member(path: Path) -> str | None:
    """The name of the `Posts.xml` inside the archive, or None; SeamError if the archive cannot be read."""
    try:
        with py7zr.SevenZipFile(path) as archive:
            names = archive.getnames()
    except _DAMAGE as error:
        raise _unreadable(path, error) from error
    found = sorted(name for name in names if PurePosixPath(name).name.lower() == "posts.xml")
    return found[0] if found else None


def extract_posts(path: Path, into: Path) -> Path:
    """Unpack the archive's `Posts.xml` below the folder `into`, piece by piece, and return where it lies."""
    member = posts_member(path)
    assert member is not None, "the sniffer accepts only archives with a Posts.xml"
    into.mkdir(parents=True, exist_ok=True)
    try:
        with py7zr.SevenZipFile(path) as archive:
            size = next(info.uncompressed for info in archive.list() if info.filename == member)
            free = shutil.disk_usage(into).free
            if size > free:
                raise SeamError(
                    f"{path} unpacks to {size:,} bytes but {into} has {free:,} free; use a larger disk (--out, TMPDIR)."
                )
            archive.extract(path=into, targets=[member])
    except _DAMAGE as error:
        raise _unreadable(path, error) from error
    return into / member


def _unreadable(path: Path, error: Exception) -> SeamError:
    reason = "a password is needed" if isinstance(error, PasswordRequired) else " ".join(str(error).split())
    reason = reason or type(error).__name__
    return SeamError(f"{path} is truncated, encrypted or no 7z archive ({reason}); download it again.")
