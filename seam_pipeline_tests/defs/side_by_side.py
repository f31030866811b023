"""A study whose steps wait for each other, fail or hang, as files beside its store say."""

import os
import time
from pathlib import Path

import pyarrow as pa

from seam_pipeline.defs._node import Inputs, Node, Step
from seam_pipeline.defs._study import Study
from seam_pipeline.experiment import Experiment

from .toy import table, value

NAME = "side-by-side"
"""A name that Dagster can't use as it is for its steps."""


def study_of(experiment: Experiment) -> Study:
    nodes = [
        Node("source", "1", "", source),
        Node("left", "1", "", left, deps=("source",)),
        Node("right", "1", "", right, deps=("source",)),
        Node("policy", "2", "", policy, "pm", ("left",)),
        Node("score", "3", "", score, "pm", ("policy", "right")),
        Node("total", "4", "", total, "one", ("score",)),
    ]
    return Study(experiment.model_copy(update={"name": NAME}), {node.name: node for node in nodes})


def source(step: Step, _inputs: Inputs) -> pa.Table:
    called(step, "source")
    return table(1)


def left(step: Step, inputs: Inputs) -> pa.Table:
    called(step, "left")
    meet(step, "left", "right")
    return table(value(inputs["source"]) + 1)


def right(step: Step, inputs: Inputs) -> pa.Table:
    called(step, "right")
    meet(step, "right", "left")
    return table(value(inputs["source"]) + 2)


def policy(step: Step, inputs: Inputs) -> pa.Table:
    called(step, "policy")
    hang(step, "policy")
    return table(value(inputs["left"]) * (step.partition.pm or 0))


def score(step: Step, inputs: Inputs) -> pa.Table:
    called(step, "score")
    if (place(step) / f"fail {step.partition.key}").exists():
        raise ValueError("told to fail")
    return table(value(inputs["policy"]) + value(inputs["right"]))


def total(step: Step, inputs: Inputs) -> pa.Table:
    called(step, "total")
    return table(sum(value(t) for t in inputs["score"].values()))


def place(step: Step) -> Path:
    return step.cache.parent


def called(step: Step, name: str) -> None:
    with (place(step) / "calls.txt").open("a") as file:
        file.write(f"{name} {step.partition.key or ''}".strip() + "\n")


def meet(step: Step, name: str, other: str) -> None:
    """Both must be at work at the same time."""
    if not (place(step) / "meet").exists():
        return
    (place(step) / f"here {name}").touch()
    for _ in range(600):
        if (place(step) / f"here {other}").exists():
            return
        time.sleep(0.1)
    raise TimeoutError(f"{other} did not come")


def hang(step: Step, name: str) -> None:
    """Once per file `hang NAME KEY`, which then holds the process."""
    file = place(step) / f"hang {name} {step.partition.key}"
    if not file.exists() or file.read_text():
        return
    (step.out / "checkpoint").touch()
    file.write_text(str(os.getpid()))
    for done in range(600):
        step.report(done, 600)
        time.sleep(0.1)
