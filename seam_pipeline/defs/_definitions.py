"""The Definitions object of an experiment."""

import dagster as dg

from ..store import Store
from ._assets import build_asset
from ._node import Axis
from ._study import Study


def build_definitions(study: Study, store: Store) -> dg.Definitions:
    """Assets with their checks, and one job per kind of partition for backfills."""
    assets = [build_asset(study, node, store) for node in study.order]
    axes: dict[Axis, str] = {"one": "unpartitioned", "pm": "per_policy", "rm": "per_reward_model", "grid": "per_cell"}
    jobs = []
    for axis, name in axes.items():
        keys = [dg.AssetKey([study.experiment.name, n.name]) for n in study.order if n.axis == axis]
        if keys:
            jobs.append(dg.define_asset_job(name, dg.AssetSelection.assets(*keys)))
    return dg.Definitions(assets=assets, jobs=jobs, executor=_executor(study.experiment.compute.concurrent_steps))


def _executor(steps: int) -> dg.ExecutorDefinition:
    if steps == 1:
        return dg.in_process_executor
    return dg.multiprocess_executor.configured({"max_concurrent": steps})
