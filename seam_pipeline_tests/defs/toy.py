"""A study of arithmetic: the real graph machinery on nodes that cost nothing."""

from pathlib import Path

import pyarrow as pa

from seam_pipeline.defs._node import Check, Inputs, Node, Step
from seam_pipeline.defs._study import Study
from seam_pipeline.experiment import Experiment, load_experiment


def table(value: float) -> pa.Table:
    return pa.table({"value": [float(value)]})


def value(table: pa.Table) -> float:
    return float(table["value"][0].as_py())


def source(step: Step, _inputs: Inputs) -> pa.Table:
    return table(float((step.cache.parent / "source.txt").read_text()))


def policy(step: Step, inputs: Inputs) -> pa.Table:
    return table(value(inputs["source"]) + (step.partition.pm or 0))


def reward(step: Step, inputs: Inputs) -> pa.Table:
    return table(value(inputs["policy"]) * 10)


def cell(_step: Step, inputs: Inputs) -> pa.Table:
    if value(inputs["policy"]) < 0:
        raise ValueError("a policy below zero")
    return table(value(inputs["policy"]) + value(inputs["reward"]))


def row(_step: Step, inputs: Inputs) -> pa.Table:
    return table(sum(value(t) for t in inputs["cell"].values()))


def total(_step: Step, inputs: Inputs) -> pa.Table:
    return table(sum(value(t) for t in inputs["row"].values()))


POSITIVE = Check("positive", "", lambda t, _: None if value(t) >= 0 else f"{value(t)} is negative")


def toy_study(root: Path, version: str = "1", seed: int = 0) -> Study:
    experiment: Experiment = load_experiment("smoke").model_copy(update={"seed": seed})
    file = root / "source.txt"
    nodes = [
        Node("source", "1", "", source, external=lambda _: file.read_text(), checks=(POSITIVE,)),
        Node("policy", "2", "", policy, "pm", ("source",), version=version),
        Node("reward", "2", "", reward, "rm", ("policy",), settings=lambda e, p: (e.seed if p.rm == 2 else 0,)),
        Node("cell", "3", "", cell, "grid", ("policy", "reward"), cells=((1, 1), (2, 1), (2, 2))),
        Node("row", "3", "", row, "pm", ("cell",)),
        Node("total", "4", "", total, "one", ("row",)),
    ]
    return Study(experiment, {node.name: node for node in nodes})
