"""Opening Dagster's instance: its records in SQLite files, or where its dagster.yaml says."""

import logging

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from ..errors import SeamError
from ._home import dagster_home


def open_instance() -> dg.DagsterInstance:
    """The instance of `dagster_home()`. Raises SeamError when what its dagster.yaml names can't be reached."""
    file = dagster_home() / "dagster.yaml"
    errors: tuple[type[Exception], ...] = (ImportError, SQLAlchemyError, dg.DagsterError, *_postgres_errors())
    log = logging.getLogger()
    level = log.level
    log.setLevel(logging.ERROR)  # the library warns at every try
    try:
        return dg.DagsterInstance.get()
    except errors as error:
        cause = error.__cause__ if isinstance(error.__cause__, SQLAlchemyError) else error
        reason = next((line.strip() for line in str(cause).splitlines() if line.strip()), type(cause).__name__)
        raise SeamError(
            f"Dagster's records cannot be opened ({reason.rstrip('.')}); correct {file}, or start the database that it "
            "names."
        ) from error
    finally:
        log.setLevel(level)


def _postgres_errors() -> tuple[type[Exception], ...]:
    try:
        from dagster_postgres.utils import DagsterPostgresException
    except ImportError:
        return ()
    return (DagsterPostgresException,)
