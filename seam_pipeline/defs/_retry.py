"""Trying a step again after an error that can pass."""

import dagster as dg

from ..errors import SeamError
from ..store import StoreUnreachableError
from ._launch import WorkerLostError

FIRST_WAIT, LONGEST_WAIT = 10.0, 600.0
"""Seconds before the first retry, doubled each time, and the most."""

_LASTING = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)


def can_pass(error: BaseException) -> bool:
    """Whether the same step may succeed later: a lost connection, worker or disk, never a mistake in the input."""
    if isinstance(error, SeamError):
        return isinstance(error, WorkerLostError | StoreUnreachableError)
    return isinstance(error, OSError) and not isinstance(error, _LASTING)


def again(error: Exception, retries: int, done: int) -> dg.RetryRequested | None:
    """Dagster's request to try the step again, or None when the error lasts or the retries are used up."""
    if done >= retries or not can_pass(error):
        return None
    return dg.RetryRequested(max_retries=retries, seconds_to_wait=min(FIRST_WAIT * 2**done, LONGEST_WAIT))
