"""Which of a machine's resources a node takes: Dagster's pools, and what counts as expensive."""

from typing import Any

from pydantic import BaseModel

from ..experiment import Experiment, Judge, LLMCandidates, LLMEndpoint
from ._node import Node
from ._study import Study


def spends(study: Study, node: Node) -> bool:
    """Whether the node may ask a language model that somebody pays for: its settings are an endpoint in use.

    The report shows the settings as plain values, and asks nobody.
    """
    return any(_asks(part) for p in study.axis(node.axis)[:1] for part in node.settings(study.experiment, p))


def expensive(study: Study, node: Node) -> bool:
    """Trains or scores a model, or spends money."""
    return node.heavy or spends(study, node)


def heavy_pool(experiment: Experiment) -> str:
    """`gpu` with `compute.device: cuda`, else `compute`."""
    return "gpu" if experiment.compute.device.startswith("cuda") else "compute"


def pool_of(study: Study, node: Node) -> str | None:
    """The heavy pool for what trains or scores, `llm` for what only asks a server, else none."""
    if node.heavy:
        return heavy_pool(study.experiment)
    return "llm" if spends(study, node) else None


def _asks(part: Any) -> bool:
    if isinstance(part, Judge):
        return part.kind == "openai"
    if isinstance(part, LLMCandidates):
        return part.generator == "openai"
    if isinstance(part, LLMEndpoint):
        return True
    if isinstance(part, BaseModel):
        return any(_asks(value) for _, value in part)
    return isinstance(part, list | tuple) and any(_asks(value) for value in part)
