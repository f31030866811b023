"""What the operating system refuses, as one sentence."""

import errno
import os
import sqlite3
import tempfile

_PLACES = "SEAM_HOME, SEAM_STORE"
_FULL = f"free some space there, or take another disk ({_PLACES}, TMPDIR)"
_FORBIDDEN = f"mend the permissions, or give another place ({_PLACES})"
_IN_THE_WAY = f"a file is where a folder is needed: move it away, or give another place ({_PLACES})"
_REMEDIES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.EROFS: _FORBIDDEN,
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
}


def sentence_of(error: Exception) -> str | None:
    """What the system or SQLite refused to do, where, and how to mend it; None for any other error."""
    if isinstance(error, OSError):
        return _system(error)
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, sqlite3.OperationalError):
        cause = cause.__cause__ or cause.__context__
    return None if cause is None else _records(cause)


def _records(error: sqlite3.OperationalError) -> str:
    from ..defs._home import home

    folder = os.environ.get("DAGSTER_HOME") or home()
    return (
        f"{folder}: the records there cannot be read or written ({error}); see that its disk is not full and can be "
        f"written to, then run the same command again."
    )


def _system(error: OSError) -> str:
    if error.errno is None:  # a library's own error, with its own text
        return f"{' '.join(str(error).split()).rstrip('.')}."
    remedy = _REMEDIES.get(error.errno, "see to it and run the same command again")
    return f"{_place(error)}: {os.strerror(error.errno)}; {remedy}."


def _place(error: OSError) -> str:
    if error.filename is not None:
        return str(error.filename)
    try:  # of a file that was open the system does not say the name
        print(flush=True)
    except OSError:
        return "standard output"
    from ..defs._home import home

    return f"a file below {home()} or in {tempfile.gettempdir()}"
