"""One Dagster run in this process: a few artifacts of one partition."""

from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from ._assets import AGAIN
from ._stale import Task
from ._study import Study

Batch = list[Task]


@dataclass(frozen=True)
class Ended:
    """How a batch ended; what it did not come to is in neither."""

    done: frozenset[str] = frozenset()
    """Labels of the artifacts that are there now."""
    failures: dict[str, str] = field(default_factory=dict)
    """Per label the reason."""


def materialize(
    job: dg.JobDefinition,
    study: Study,
    tasks: Batch,
    instance: dg.DagsterInstance,
    anew: bool,
    run_id: str | None = None,
) -> Ended:
    """Make tasks of one partition; `anew` also what is current. Raises KeyboardInterrupt when it is stopped."""
    keys = {task.label: dg.AssetKey([study.experiment.name, task.node.name]) for task in tasks}
    result = job.execute_in_process(
        instance=instance,
        asset_selection=list(keys.values()),
        partition_key=tasks[0].partition.key,
        raise_on_error=False,
        run_id=run_id,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        tags={AGAIN: "true"} if anew else None,
    )
    if any(event.is_step_failure and _interrupted(event.step_failure_data.error) for event in result.all_events):
        raise KeyboardInterrupt
    labels = {key.to_python_identifier(): label for label, key in keys.items()}
    done = frozenset(labels[e.step_key] for e in result.all_events if e.is_step_success and e.step_key in labels)
    failures = {
        labels[event.step_key]: _reason(event.step_failure_data.error)
        for event in result.all_events
        if event.is_step_failure and event.step_key in labels
    }
    for check in result.get_asset_check_evaluations():
        if not check.passed:
            label = labels[check.asset_key.to_python_identifier()]
            failures[label] = f"check {check.check_name}: {check.metadata['problem'].value}"
    return Ended(done, failures)


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
