"""Bringing everything stale up to date through Dagster, like make."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from ..store import Store
from ._assets import AGAIN, Listener, listen
from ._choice import Chosen, Pair, parts
from ._definitions import build_definitions
from ._node import Node, Partition
from ._stale import Records, Task, current_record, input_versions, label_of, why_make
from ._study import Study


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


def update(
    study: Study, store: Store, chosen: Chosen, instance: dg.DagsterInstance, display: Display, anew: bool = False
) -> Outcome:
    """Make every stale artifact that is chosen, upstream first; a failed one does not stop its neighbours.

    One Dagster run makes what is stale in one partition, with what is missing below it in the same partition: that
    has to be made whatever comes out above. What exists is only made again once its inputs are known to have changed.
    `anew` makes what is chosen even where it is current.
    """
    # a place in a pool would stay taken where this process is killed, and nobody would free it
    job = build_definitions(study, store, pools=False).resolve_implicit_global_asset_job_def()
    work = _Work(study, Records(store), chosen, anew)
    outcome = Outcome()
    listen(display)
    try:
        for batch in work.batches():
            display.planned(batch)
            failures = _materialize(job, study, batch, instance, anew)
            for task in batch:
                work.records.forget(task.node.name, task.partition.key)
            for label, reason in failures.items():
                display.failed(label, reason)
            outcome.failed |= failures
            outcome.made += [task.label for task in batch if task.label not in failures and work.is_current(task)]
    finally:
        listen(None)
    outcome.blocked = work.blocked(outcome.failed)
    return outcome


class _Work:
    """What is left to do; each record is read once, and again after its artifact has been made."""

    def __init__(self, study: Study, records: Records, chosen: Chosen, anew: bool) -> None:
        self.study, self.records, self.chosen, self.anew = study, records, chosen, anew
        self.tried: set[str] = set()

    def batches(self) -> Iterator[list[Task]]:
        """Batches in order; each is worked out once those before it have been made."""
        for node in self.study.order:
            for partition in parts(self.study, self.chosen, node):
                task = Task(node, partition, self._why(node, partition) or "")
                if task.why and task.label not in self.tried:
                    batch = [task, *self._missing_below(task)]
                    self.tried |= {task.label for task in batch}
                    yield batch

    def is_current(self, task: Task) -> bool:
        """Whether the artifact is there, as it should be."""
        return current_record(self.study, self.records, task.node, task.partition) is not None

    def blocked(self, failed: Mapping[str, str]) -> dict[str, str]:
        """Chosen artifacts that are still missing, with what each waits for."""
        found: dict[str, str] = {}
        for node in self.study.order:
            for partition in parts(self.study, self.chosen, node):
                label = label_of(node.name, partition)
                if label not in failed and self.records.record(node.name, partition.key) is None:
                    found[label] = next(self._absent(node, partition), "a run that ended early")
        return found

    def _absent(self, node: Node, partition: Partition) -> Iterator[str]:
        for dep in node.deps:
            for upstream in self.study.upstream(node, partition, dep):
                record = self.records.record(dep, upstream.key)
                if record is None or record.failed_checks:
                    yield label_of(dep, upstream)

    def _why(self, node: Node, partition: Partition) -> str | None:
        why = why_make(self.study, self.records, node, partition)
        if why or not self.anew or input_versions(self.study, self.records, node, partition) is None:
            return why
        return "asked for"

    def _missing_below(self, first: Task) -> Iterator[Task]:
        """Artifacts of the same partition that don't exist, and need only current ones and those of this batch."""
        partition = first.partition
        batch = {(first.node.name, partition)}
        settled: dict[Pair, bool] = {}
        for node in self.study.order:
            task = Task(node, partition, "missing")
            if node is first.node or task.label in self.tried or partition not in parts(self.study, self.chosen, node):
                continue
            if self.records.record(node.name, partition.key) is None and all(
                (dep, upstream) in batch or self._settled(dep, upstream, settled)
                for dep in node.deps
                for upstream in self.study.upstream(node, partition, dep)
            ):
                batch.add((node.name, partition))
                yield task

    def _settled(self, name: str, partition: Partition, known: dict[Pair, bool]) -> bool:
        """Whether the artifact is there and nothing above it is going to change."""
        if (name, partition) not in known:
            node = self.study.nodes[name]
            known[name, partition] = self.is_current(Task(node, partition, "")) and all(
                self._settled(dep, u, known) for dep in node.deps for u in self.study.upstream(node, partition, dep)
            )
        return known[name, partition]


def _materialize(
    job: dg.JobDefinition, study: Study, tasks: list[Task], instance: dg.DagsterInstance, anew: bool
) -> dict[str, str]:
    result = job.execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey([study.experiment.name, task.node.name]) for task in tasks],
        partition_key=tasks[0].partition.key,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags={AGAIN: "true"} if anew else None,
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
