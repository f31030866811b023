"""The real graph of an experiment on files, with steps that cost nothing: a table of what went in."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from seam_pipeline.defs._node import Inputs, Node, Partition, Step
from seam_pipeline.defs._run import make
from seam_pipeline.defs._stale import stale_tasks
from seam_pipeline.defs._study import Study
from seam_pipeline.defs.graph import build_study
from seam_pipeline.experiment import Experiment, load_experiment
from seam_pipeline.store import Store

LLM = {"generator": "openai", "endpoint": {"model": "writer", "base_url": "http://127.0.0.1:9/v1"}}
JUDGE = {"kind": "openai", "endpoint": {"model": "judge", "base_url": "http://127.0.0.1:9/v1"}}


def experiment(dump: Path, **changes: object) -> Experiment:
    """Smoke's grid on a dump, with few arms and an LLM judge; `a__b=value` sets `a.b`, numbers address lists."""
    raw = load_experiment("smoke").model_dump(mode="json")
    raw["data"] = {"source": "files", "paths": [str(dump)]}
    raw["judge"], raw["candidates"]["llm"] = deepcopy(JUDGE), deepcopy(LLM)
    raw["compute"]["automation"] = "all"
    raw["rl"]["arms"] = [{"methods": ["full", "seam_gpt", "random"], "cells": [[1, 1], [2, 1]]}]
    raw.pop("findings", None)
    for name, value in changes.items():
        *path, last = name.split("__")
        place = raw
        for part in path:
            place = place[int(part)] if part.isdigit() else place[part]
        if last.isdigit():
            place[int(last)] = value
        else:
            place[last] = value
    return Experiment.model_validate(raw)


def noop_study(experiment: Experiment, versions: dict[str, str] | None = None) -> Study:
    study = build_study(experiment)
    nodes = [_cheap(study, node, (versions or {}).get(node.name, node.version)) for node in study.order]
    return Study(experiment, {node.name: node for node in nodes})


def _cheap(study: Study, node: Node, version: str) -> Node:
    if node.external:
        return replace(node, version=version)  # posts: sizes and hashes of the files

    def compute(step: Step, inputs: Inputs) -> pa.Table:
        settings = study.settings(node, step.partition)
        seen = sorted((str(dep), repr(_plain(value))) for dep, value in inputs.items())
        return pa.table({"seen": [f"{node.name} {step.partition.key} {version} {settings} {seen}"]})

    return replace(
        node, compute=compute, version=version, heavy=node.heavy, schema=None, main=None, checks=(), figure=None
    )


def _plain(value: object) -> object:
    """A short stand-in for a table, or for the partitions of one."""
    from hashlib import sha256

    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in sorted(value.items(), key=lambda item: str(item[0]))}
    assert isinstance(value, pa.Table)
    return sha256(repr(value.to_pylist()).encode()).hexdigest()[:12]


def make_all(study: Study, store: Store) -> None:
    """Everything, without Dagster."""
    for task in stale_tasks(study, store, set(study.nodes)):
        make_one(study, store, task.node.name, task.partition)


def make_one(study: Study, store: Store, name: str, partition: Partition) -> None:
    # heavy: the device and torch's threads are set up for it, and these steps need neither
    make(study, store, replace(study.nodes[name], heavy=False), partition, lambda done, total: None)
