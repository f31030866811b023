"""Who makes the batches of an update; here, this process."""

from types import TracebackType
from typing import Protocol, Self

import dagster as dg

from ..store import Store
from ._assets import Listener, listen
from ._batch import Batch, Ended, materialize
from ._definitions import build_definitions
from ._study import Study


class Crew(Protocol):
    """A context manager that leaves nothing running."""

    at_once: int
    """Batches at the same time."""

    @property
    def busy(self) -> int:
        """Batches begun and not ended."""

    def start(self, batch: Batch, anew: bool) -> None:
        """Begin a batch, where `busy` is less than `at_once`."""

    def wait(self) -> tuple[Batch, Ended]:
        """The next batch that ends. Raises KeyboardInterrupt when it is stopped."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, at: TracebackType | None) -> None: ...


class ThisProcess:
    """Makes one batch after the other."""

    at_once = 1

    def __init__(self, study: Study, store: Store, instance: dg.DagsterInstance, listener: Listener) -> None:
        self.study, self.instance, self.listener = study, instance, listener
        self.job = job_of(study, store)
        self.busy = 0

    def start(self, batch: Batch, anew: bool) -> None:
        """Keep it for `wait`."""
        self.batch, self.anew, self.busy = batch, anew, 1

    def wait(self) -> tuple[Batch, Ended]:
        """Make the batch."""
        self.busy = 0
        return self.batch, materialize(self.job, self.study, self.batch, self.instance, self.anew)

    def __enter__(self) -> Self:
        listen(self.listener)
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, at: TracebackType | None) -> None:
        listen(None)


def job_of(study: Study, store: Store) -> dg.JobDefinition:
    """All assets, to be made in this process.

    Without pools: a place would stay taken where this process is killed, and nobody would free it.
    """
    return build_definitions(study, store, pools=False).resolve_implicit_global_asset_job_def()
