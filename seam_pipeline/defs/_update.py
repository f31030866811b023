"""Bringing everything stale up to date through Dagster, like make."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from ..store import Store
from ._assets import Listener, listen
from ._definitions import build_definitions
from ._node import Partition
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


class Display(Listener):
    """Told what happens; the command line draws it."""

    def planned(self, tasks: list[Task]) -> None:
        """These artifacts share the next Dagster run."""

    def failed(self, label: str, reason: str) -> None:
        """An artifact could not be made, or was refused by a check."""


def update(study: Study, store: Store, names: set[str], instance: dg.DagsterInstance, display: Display) -> Outcome:
    """Make every stale artifact among `names`, upstream first; a failed one does not stop its neighbours.

    One Dagster run makes what is stale in one partition, with what is missing below it in the same partition: that
    has to be made whatever comes out above. What exists is only made again once its inputs are known to have changed.
    """
    job = build_definitions(study, store).resolve_implicit_global_asset_job_def()
    outcome, tried = Outcome(), set[str]()
    listen(display)
    try:
        while batch := next(_batches(study, store, names, tried), None):
            tried |= {task.label for task in batch}
            display.planned(batch)
            failures = _materialize(job, study, batch, instance)
            for label, reason in failures.items():
                display.failed(label, reason)
            outcome.failed |= failures
            outcome.made += [task.label for task in batch if _is_current(study, store, task)]
    finally:
        listen(None)
    if outcome.failed:
        outcome.blocked = _missing(study, store, names - {label.split(" ")[0] for label in outcome.failed})
    return outcome


def _is_current(study: Study, store: Store, task: Task) -> bool:
    record = store.record(task.node.name, task.partition.key)
    return bool(record and not record.failed_checks and not why_stale(study, store, task.node, task.partition))


def _batches(study: Study, store: Store, names: set[str], tried: set[str]) -> Iterator[list[Task]]:
    """Batches that can run now; only the first is meant to be used, since it changes the others."""
    for node in study.order:
        if node.name not in names:
            continue
        for partition in study.wanted(node):
            why = why_stale(study, store, node, partition)
            first = Task(node, partition, why or "")
            if why and first.label not in tried:
                yield [first, *_missing_below(study, store, names, tried, first)]


def _missing_below(study: Study, store: Store, names: set[str], tried: set[str], first: Task) -> Iterator[Task]:
    """Artifacts of the same partition that do not exist, and that need only current ones and those of this batch."""
    partition = first.partition
    batch = {(first.node.name, partition.key)}
    settled: dict[tuple[str, str | None], bool] = {}

    def usable(name: str, where: Partition) -> bool:
        key = (name, where.key)
        if key not in settled:
            record = store.record(name, where.key)
            settled[key] = bool(record and not record.failed_checks and not _will_change(study, store, name, where))
        return key in batch or settled[key]

    for node in study.order:
        task = Task(node, partition, "missing")
        if node is first.node or node.name not in names or task.label in tried or partition not in study.wanted(node):
            continue
        if store.record(node.name, partition.key) is None and all(
            usable(dep, upstream) for dep in node.deps for upstream in study.upstream(node, partition, dep)
        ):
            batch.add((node.name, partition.key))
            yield task


def _will_change(study: Study, store: Store, name: str, partition: Partition) -> bool:
    node = study.nodes[name]
    if why_stale(study, store, node, partition):
        return True
    return any(_will_change(study, store, dep, u) for dep in node.deps for u in study.upstream(node, partition, dep))


def _materialize(
    job: dg.JobDefinition, study: Study, tasks: list[Task], instance: dg.DagsterInstance
) -> dict[str, str]:
    result = job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey([study.experiment.name, task.node.name]) for task in tasks],
        partition_key=tasks[0].partition.key,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    if any(event.is_step_failure and _interrupted(event.step_failure_data.error) for event in result.all_events):
        raise KeyboardInterrupt
    labels = {f"{study.experiment.name}__{task.node.name}": task.label for task in tasks}
    failures = {
        labels[event.step_key]: _reason(event.step_failure_data.error)
        for event in result.all_events
        if event.is_step_failure and event.step_key in labels
    }
    for check in result.get_asset_check_evaluations():
        if not check.passed:
            label = labels["__".join(check.asset_key.path)]
            failures[label] = f"check {check.check_name}: {check.metadata['problem'].value}"
    return failures


def _interrupted(error: Any) -> bool:
    """Whether somebody stopped the step (Dagster makes a failure of it)."""
    while error is not None:
        if error.cls_name in ("DagsterExecutionInterruptedError", "KeyboardInterrupt"):
            return True
        error = error.cause
    return False


def _reason(error: object) -> str:
    cause = getattr(error, "cause", None) or error
    text = str(getattr(cause, "message", cause)).strip()
    return text.removeprefix("dagster._core.definitions.events.Failure: ").removeprefix(
        "seam_pipeline.errors.SeamError: "
    )


def _missing(study: Study, store: Store, names: set[str]) -> list[str]:
    return [
        Task(node, partition, "").label
        for node in study.order
        if node.name in names
        for partition in study.wanted(node)
        if store.record(node.name, partition.key) is None
    ]
