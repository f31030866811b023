"""One process at a time makes an artifact."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import SeamError

PATIENCE = 20.0
"""Seconds to wait for another process, which may be about to finish."""


@contextmanager
def held(path: Path, label: str, patience: float) -> Iterator[None]:
    """Hold `<path>.lock`; the operating system lets go of it when the process ends, however it ends.

    Raises SeamError naming the holder where another process or thread still holds it after `patience` seconds.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    holder = path.with_name(f"{path.name}.holder")
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    try:
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise SeamError(f"{label} is being made by {_read(holder)}; let it end or stop it, then try again.") from error
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
