"""One process at a time makes an artifact."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import SeamError

PATIENCE = 20.0
"""Seconds to wait for another process, which may be about to finish."""
_LASTING = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EEXIST)


@contextmanager
def held(path: Path, label: str, patience: float) -> Iterator[None]:
    """Hold `<path>.lock`; the operating system lets go of it when the process ends, however it ends.

    Raises SeamError naming the holder where another process or thread still holds it after `patience` seconds, and for
    a folder that can't be written to.
    """
    from filelock import FileLock, Timeout

    holder = path.with_name(f"{path.name}.holder")
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise SeamError(f"{label} is being made by {_read(holder)}; let it end or stop it, then try again.") from error
    except OSError as error:
        if error.errno not in _LASTING:
            raise
        raise SeamError(
            f"{label} cannot be kept in {path.parent} ({error.strerror}); set SEAM_STORE or SEAM_HOME to a folder that "
            "can be written to."
        ) from error
    try:
        holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", "utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _read(holder: Path) -> str:
    try:
        return holder.read_text("utf-8") or "another process"
    except FileNotFoundError:
        return "another process"
