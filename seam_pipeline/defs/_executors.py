"""Where Dagster runs steps: this machine, a Ray cluster or Kubernetes; and what each asset takes there."""

import fnmatch
import json
import os
from typing import Any

import dagster as dg

from ..errors import SeamError
from ..experiment import Compute, Experiment, Resources
from ._node import Node
from ._study import Study

PLACES = (
    "DAGSTER_HOME", "SEAM_HOME", "SEAM_STORE", "SEAM_EXPERIMENT", "SEAM_DATA", "HF_HOME", "HF_HUB_OFFLINE",
    "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
)  # fmt: skip
"""Variables that a step on Ray is given: places, never keys, since Ray shows them on its dashboard."""


def executor_of(compute: Compute) -> dg.ExecutorDefinition:
    """The executor of every job. Raises SeamError where its package is not installed."""
    if compute.executor == "ray":
        return _ray()
    if compute.executor == "k8s":
        return _kubernetes(compute)
    if compute.concurrent_steps == 1:
        return dg.in_process_executor
    return dg.multiprocess_executor.configured({"max_concurrent": compute.concurrent_steps})


def _ray() -> dg.ExecutorDefinition:
    """One Ray job a step, at the cluster that RAY_ADDRESS names (its dashboard's URL)."""
    try:
        from dagster_ray import ray_executor
    except ImportError as error:
        raise _absent("ray", error) from error
    given = [name for name in PLACES if name in os.environ]
    return ray_executor.configured({"ray": {"num_cpus": None, "env_vars": given}})


def _kubernetes(compute: Compute) -> dg.ExecutorDefinition:
    """One Kubernetes job a step, in the run launcher's namespace, image and environment."""
    try:
        from dagster_k8s import k8s_job_executor
    except ImportError as error:
        raise _absent("k8s", error) from error
    limit = {} if compute.concurrent_steps == 1 else {"max_concurrent": compute.concurrent_steps}
    return k8s_job_executor.configured(limit)


def _absent(executor: str, error: ImportError) -> SeamError:
    return SeamError(
        f"compute.executor: {executor} needs a package that is not installed ({error}); "
        f"pip install 'seam-pipeline[{executor}]', see docs/cluster.md."
    )


def op_tags(experiment: Experiment, node: Node) -> dict[str, Any]:
    """Dagster's tags that ask the cluster for the node's resources; none on this machine."""
    wanted = resources_of(experiment.compute, node)
    if experiment.compute.executor == "ray":
        return {"dagster-ray/config": json.dumps(_ray_config(wanted))}
    if experiment.compute.executor == "k8s" and wanted is not None:
        return {"dagster-k8s/config": {"container_config": {"resources": _container(wanted)}}}
    return {}


def resources_of(compute: Compute, node: Node) -> Resources | None:
    """Those of the last entry of `compute.resources` that fits the node."""
    fitting = [resources for what, resources in compute.resources.items() if _fits(what, node)]
    return fitting[-1] if fitting else None


def check_resources(study: Study) -> None:
    """Raises SeamError for an entry of `compute.resources` that fits no asset."""
    for what in study.experiment.compute.resources:
        if not any(_fits(what, node) for node in study.order):
            groups = ", ".join(sorted({f"group:{node.group}" for node in study.order}))
            raise SeamError(
                f"compute.resources: {what} fits no asset of {study.experiment.name}; give heavy, light, an asset's "
                f"name or glob, or one of {groups}."
            )


def _fits(what: str, node: Node) -> bool:
    if what in ("heavy", "light"):
        return node.heavy == (what == "heavy")
    if what.startswith("group:"):
        return node.group == what.removeprefix("group:")
    return fnmatch.fnmatchcase(node.name, what)


def _ray_config(wanted: Resources | None) -> dict[str, Any]:
    """Without a number of CPUs Ray would run every step on its head node, however many there are."""
    config: dict[str, Any] = {"num_cpus": wanted.cpu if wanted and wanted.cpu else 1}
    if wanted and wanted.gpu:
        config["num_gpus"] = wanted.gpu
    if wanted and wanted.memory_bytes:
        config["memory"] = wanted.memory_bytes
    return config


def _container(wanted: Resources) -> dict[str, dict[str, str]]:
    """Requests, and limits of what must not be exceeded: memory and GPUs."""
    requests: dict[str, str] = {} if wanted.cpu is None else {"cpu": f"{wanted.cpu:g}"}
    limits: dict[str, str] = {}
    if wanted.memory is not None:
        requests["memory"] = limits["memory"] = wanted.memory
    if wanted.gpu:
        requests["nvidia.com/gpu"] = limits["nvidia.com/gpu"] = str(wanted.gpu)
    return {"requests": requests, "limits": limits}
