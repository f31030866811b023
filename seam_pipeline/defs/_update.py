"""Bringing everything stale up to date through Dagster, like make."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import dagster as dg

from ..store import Store
from ._assets import listen
from ._definitions import build_definitions
from ._node import Node, Partition
from ._run import Reporter
from ._stale import Task, why_stale
from ._study import Study


@dataclass
class Outcome:
    """What an update did."""

    made: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """Per artifact the reason."""
    blocked: list[str] = field(default_factory=list)
    """Artifacts below a failed one."""


class Display:
    """Told what happens; the command line draws it."""

    def begin(self, tasks: Sequence[Task]) -> None:
        """A batch of artifacts of one partition starts."""

    def step(self, label: str, done: int, total: int) -> None:
        """An artifact reports its own steps."""

    def end(self, tasks: Sequence[Task], failures: dict[str, str]) -> None:
        """The batch has ended."""


def update(study: Study, store: Store, names: set[str], instance: dg.DagsterInstance, display: Display) -> Outcome:
    """Make every stale artifact among `names`, upstream first; a failed one does not stop its neighbours.

    Stale artifacts of the same partition that need nothing of each other share a Dagster run.
    """
    job = build_definitions(study, store).resolve_implicit_global_asset_job_def()
    outcome = Outcome()
    reporter: Reporter = display.step
    listen(reporter)
    try:
        for nodes in _levels(study, names):
            for partition, tasks in _stale_by_partition(study, store, nodes).items():
                display.begin(tasks)
                failures = _materialize(job, study, tasks, partition, instance)
                display.end(tasks, failures)
                outcome.failed |= failures
                outcome.made += [task.label for task in tasks if task.label not in failures]
    finally:
        listen(None)
    outcome.blocked = _still_waiting(study, store, names, outcome)
    return outcome


def _levels(study: Study, names: set[str]) -> list[list[Node]]:
    depth: dict[str, int] = {}
    for node in study.order:
        depth[node.name] = 1 + max((depth[dep] for dep in node.deps), default=0)
    levels: dict[int, list[Node]] = {}
    for node in study.order:
        if node.name in names:
            levels.setdefault(depth[node.name], []).append(node)
    return [levels[d] for d in sorted(levels)]


def _stale_by_partition(study: Study, store: Store, nodes: list[Node]) -> dict[Partition, list[Task]]:
    found: dict[Partition, list[Task]] = {}
    for node in nodes:
        for partition in study.wanted(node):
            why = why_stale(study, store, node, partition)
            if why:
                found.setdefault(partition, []).append(Task(node, partition, why))
    return found


def _materialize(
    job: dg.JobDefinition, study: Study, tasks: list[Task], partition: Partition, instance: dg.DagsterInstance
) -> dict[str, str]:
    result = job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey([study.experiment.name, task.node.name]) for task in tasks],
        partition_key=partition.key,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    failures: dict[str, str] = {}
    for task in tasks:
        step = f"{study.experiment.name}__{task.node.name}"
        for event in result.all_events:
            if event.step_key == step and event.is_step_failure:
                failures[task.label] = _reason(event.step_failure_data.error)
        for check in result.get_asset_check_evaluations():
            if check.asset_key.path[-1] == task.node.name and not check.passed:
                problem = check.metadata["problem"].value
                failures[task.label] = f"check {check.check_name}: {problem}"
    return failures


def _reason(error: object) -> str:
    cause = getattr(error, "cause", None) or error
    text = str(getattr(cause, "message", cause)).strip()
    return text.removeprefix("dagster._core.definitions.events.Failure: ")


def _still_waiting(study: Study, store: Store, names: set[str], outcome: Outcome) -> list[str]:
    if not outcome.failed:
        return []
    waiting = []
    for node in study.order:
        for partition in study.wanted(node):
            label = Task(node, partition, "").label
            if node.name in names and label not in outcome.failed and not store.record(node.name, partition.key):
                waiting.append(label)
    return waiting


