"""The Definitions object of an experiment."""

from collections.abc import Callable, Iterator

import dagster as dg

from ..store import Store
from ._assets import SOME, build_asset
from ._automation import Watcher, automation_sensor, condition_of
from ._executors import check_resources, executor_of
from ._node import Axis
from ._schedules import AnyJob, roots_job, schedule_of, update_job
from ._sensors import outside_sensors
from ._study import Study


def build_definitions(
    study: Study, store: Store, reread: Callable[[], Study] | None = None, pools: bool = True
) -> dg.Definitions:
    """Assets with their checks, jobs per kind of partition for backfills, and what starts runs by itself.

    `reread` gives the study as its experiment file says now; without it, what starts runs knows the given one.
    Without `pools` no step waits for a place: for a caller that makes one after the other.
    """
    check_resources(study)
    reread = reread or (lambda: study)
    automation = automation_sensor(study)
    watcher = Watcher(reread, store)
    conditions = [condition_of(n, watcher) if automation else None for n in study.order]
    assets = [build_asset(study, n, store, c, pools) for n, c in zip(study.order, conditions, strict=True)]
    jobs = list(_axis_jobs(study))
    update, roots = update_job(study, store), roots_job(study)
    outside = [job for job in (update, roots) if job is not None]
    return dg.Definitions(
        assets=assets,
        jobs=[*jobs, *outside],
        schedules=[schedule_of(study, update, roots)],
        sensors=[*outside_sensors(study, store, reread, outside), *([automation] if automation else [])],
        executor=executor_of(study.experiment.compute),
    )


def _axis_jobs(study: Study) -> Iterator[AnyJob]:
    """Per kind of partition a job of what is made on all of it, and one (`arms_...`) of what some partitions have."""
    axes: dict[Axis, str] = {"one": "unpartitioned", "pm": "per_policy", "rm": "per_reward_model", "grid": "per_cell"}
    for axis, name in axes.items():
        nodes = [node for node in study.order if node.axis == axis]
        everywhere = [node.name for node in nodes if study.wanted(node) == study.axis(axis)]
        somewhere = [node.name for node in nodes if node.name not in everywhere]
        for job, names in ((name, everywhere), (f"{SOME}{name}", somewhere)):
            if names:
                keys = [dg.AssetKey([study.experiment.name, n]) for n in names]
                yield dg.define_asset_job(job, dg.AssetSelection.assets(*keys))
