"""Nodes of one shape that several parts of the study have: their schema, blocking checks and settings, once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from .. import tables
from ..experiment import Cell, Experiment
from ._checks import finite
from ._node import Axis, Inputs, Node, Partition, Step, nothing

Settings = Callable[[Experiment, Partition], tuple[Any, ...]]
Compute = Callable[[Step, Inputs], pa.Table]
MODELS, SCORES, QUALITY = "2_models", "4_scores", "7_quality"


def scoring(experiment: Experiment, _partition: Partition) -> tuple[Any, ...]:
    """Settings that decide likelihoods and rewards."""
    return (experiment.scoring.model_dump(mode="json", exclude={"form"}),)


def judging(experiment: Experiment, _partition: Partition) -> tuple[Any, ...]:
    """Settings that decide the ratings of answers."""
    from ..llm.template import template_hash

    judge = experiment.judge
    template = template_hash(judge.template, "seam_pipeline.judging", "single_answer.txt") if judge.endpoint else None
    return (judge, template, experiment.evaluation.model_dump(mode="json", exclude={"batch_size"}))


@dataclass(frozen=True)
class Shape:
    """What nodes of one kind share; called with the rest, it makes a node."""

    group: str
    schema: pa.Schema
    finite: tuple[str, ...]
    """Columns without NaN or infinity, as a blocking check."""
    settings: Settings = nothing

    def __call__(
        self,
        name: str,
        description: str,
        compute: Compute,
        axis: Axis,
        deps: tuple[str, ...],
        cells: tuple[Cell, ...] | None = None,
        seeds: Mapping[Cell, tuple[int, ...]] | None = None,
    ) -> Node:
        """As the fields of `Node`."""
        return Node(
            name,
            self.group,
            description,
            compute,
            axis=axis,
            deps=deps,
            settings=self.settings,
            schema=self.schema,
            checks=(finite(*self.finite),),
            cells=cells,
            seeds=seeds or {},
            heavy=True,
        )


likelihoods_node = Shape(SCORES, tables.LIKELIHOODS, ("loglik",), scoring)
"""LIKELIHOODS under a policy."""
rewards_node = Shape(SCORES, tables.REWARDS, ("reward",), scoring)
"""REWARDS of a reward model."""
answers_node = Shape(QUALITY, tables.ANSWERS, ("rating",), judging)
"""ANSWERS to the held-out test questions, rated by the judge."""
accuracy_node = Shape(MODELS, tables.REWARD_QUALITY, ("chosen_reward", "rejected_reward"))
"""REWARD_QUALITY: a reward model's verdicts on the preference test pairs."""
