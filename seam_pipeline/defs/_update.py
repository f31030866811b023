"""Bringing everything stale up to date through Dagster, like make."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg

from ..store import Store
from ._assets import Listener
from ._choice import Chosen
from ._crew import Crew, ThisProcess
from ._stale import Records, Task
from ._study import Study
from ._work import Work


@dataclass
class Outcome:
    """What an update did."""

    made: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Per artifact the reason."""
    blocked: dict[str, str] = field(default_factory=dict)
    """Per artifact that is still missing what it waits for."""


class Display(Listener):
    """Told what happens; the command line draws it."""

    def planned(self, tasks: list[Task]) -> None:
        """These artifacts share the next Dagster run."""

    def failed(self, label: str, reason: str) -> None:
        """An artifact could not be made, or was refused by a check."""

    def spared(self, label: str) -> None:
        """An artifact need not be made, or can't be."""


def update(
    study: Study,
    store: Store,
    chosen: Chosen,
    instance: dg.DagsterInstance,
    display: Display,
    anew: bool = False,
    crew: Crew | None = None,
    expected: Mapping[str, float] | None = None,
) -> Outcome:
    """Make every stale artifact that is chosen, upstream first; a failed one does not stop its neighbours.

    One Dagster run makes what is stale in one partition, with what is missing below it in the same partition: that
    has to be made whatever comes out above. What exists is only made again once its inputs are known to have changed.
    `anew` makes what is chosen even where it is current. `crew` makes the batches, by default this process; `expected`
    seconds by label tell a crew of several what to begin with. What is made is the same with each.
    """
    crew = crew or ThisProcess(study, store, instance, display)
    work = Work(study, Records(store), chosen, anew, crew.at_once, expected)
    outcome = Outcome()
    with crew:
        while True:
            for label in work.spared():
                display.spared(label)
            while crew.busy < crew.at_once and (batch := work.next_batch()):
                display.planned(batch)
                crew.start(batch, anew)
            if not crew.busy:
                break
            batch, ended = crew.wait()
            for label, reason in ended.failures.items():
                display.failed(label, reason)
            work.ended(batch, {*ended.done, *ended.failures})
            outcome.failed |= ended.failures
            made = [task for task in batch if task.label in ended.done and task.label not in ended.failures]
            outcome.made += [task.label for task in made if work.is_current(task)]
    outcome.blocked = work.blocked(outcome.failed)
    return outcome
