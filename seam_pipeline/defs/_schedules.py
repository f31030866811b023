"""The job that brings a whole study up to date, and its schedule."""

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition
from dagster._utils.schedules import is_valid_cron_schedule

from ..errors import SeamError
from ..experiment import Compute
from ..store import Store
from ._pools import heavy_pool
from ._stale import Task
from ._study import Study

AnyJob = dg.JobDefinition | UnresolvedAssetJobDefinition

UPDATE, ROOTS = "update", "look_outside"
TAG = "seam/update"
"""Tag of the update's runs: dagster.yaml lets one at a time run."""


def update_job(study: Study, store: Store) -> dg.JobDefinition:
    """`seam run` as a job: everything stale, upstream first, each artifact or row of the grid in a run of its own."""

    @dg.op(
        description="Makes what is missing or out of date, upstream first.",
        out=dg.Out(dg.Nothing),
        pool=heavy_pool(study.experiment),
    )
    def bring_up_to_date(context: dg.OpExecutionContext) -> None:
        from ._update import Display, update

        class Log(Display):
            def planned(self, tasks: list[Task]) -> None:
                context.log.info("making " + ", ".join(f"{task.label} ({task.why})" for task in tasks))

        outcome = update(study, store, set(study.nodes), context.instance, Log())
        context.log.info(f"{len(outcome.made)} made, {len(outcome.failed)} failed, {len(outcome.blocked)} waiting")
        if outcome.failed:
            reasons = "; ".join(f"{label}: {reason}" for label, reason in outcome.failed.items())
            raise dg.Failure(f"{reasons} ({len(outcome.blocked)} more wait for these)", allow_retries=False)

    @dg.job(
        name=UPDATE,
        tags={TAG: study.experiment.name},
        description="Everything that is missing or out of date, as `seam run` does.",
        executor_def=dg.in_process_executor,
    )
    def update_everything() -> None:
        bring_up_to_date()

    return update_everything


def roots_job(study: Study) -> UnresolvedAssetJobDefinition | None:
    """The assets that read files outside the store."""
    names = [node.name for node in study.order if node.external]
    keys = [dg.AssetKey([study.experiment.name, name]) for name in names]
    return dg.define_asset_job(ROOTS, dg.AssetSelection.assets(*keys)) if keys else None


def check_schedule(compute: Compute) -> None:
    """Raises SeamError for a cron expression that is none."""
    if compute.schedule and not is_valid_cron_schedule(compute.schedule):
        raise SeamError(f"compute.schedule: {compute.schedule!r} is no cron expression; try @weekly.")


def schedule_of(
    study: Study, update: dg.JobDefinition, roots: UnresolvedAssetJobDefinition | None
) -> dg.ScheduleDefinition:
    """The experiment's `compute.schedule`; without one a weekly schedule that somebody has to start.

    With automation the run looks outside and automation does the rest. Raises SeamError for a cron expression that is
    none.
    """
    compute = study.experiment.compute
    on = dg.DefaultScheduleStatus.RUNNING if compute.schedule else dg.DefaultScheduleStatus.STOPPED
    job = update if compute.automation == "off" or roots is None else roots
    check_schedule(compute)
    return dg.ScheduleDefinition(
        name="regular_update",
        job=job,
        cron_schedule=compute.schedule or "@weekly",
        default_status=on,
        description="Brings the study up to date.",
    )
