"""Nodes of one shape that several parts of the study have: their schema, blocking checks and settings, once."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from .. import tables
from ..experiment import Cell, Experiment
from ._checks import finite
from ._node import Axis, Inputs, Node, Partition, Step

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


def likelihoods_node(
    name: str,
    description: str,
    compute: Compute,
    axis: Axis,
    deps: tuple[str, ...],
    cells: tuple[Cell, ...] | None = None,
) -> Node:
    """LIKELIHOODS under a policy."""
    return Node(
        name,
        SCORES,
        description,
        compute,
        axis=axis,
        deps=deps,
        settings=scoring,
        schema=tables.LIKELIHOODS,
        checks=(finite("loglik"),),
        cells=cells,
        heavy=True,
    )


def rewards_node(
    name: str,
    description: str,
    compute: Compute,
    axis: Axis,
    deps: tuple[str, ...],
    cells: tuple[Cell, ...] | None = None,
    group: str = SCORES,
) -> Node:
    """REWARDS of a reward model."""
    return Node(
        name,
        group,
        description,
        compute,
        axis=axis,
        deps=deps,
        settings=scoring,
        schema=tables.REWARDS,
        checks=(finite("reward"),),
        cells=cells,
        heavy=True,
    )


def answers_node(
    name: str,
    description: str,
    compute: Compute,
    axis: Axis,
    deps: tuple[str, ...],
    settings: Settings = judging,
    cells: tuple[Cell, ...] | None = None,
    seeds: Mapping[Cell, tuple[int, ...]] | None = None,
) -> Node:
    """ANSWERS to the held-out test questions, rated by the judge."""
    return Node(
        name,
        QUALITY,
        description,
        compute,
        axis=axis,
        deps=deps,
        settings=settings,
        schema=tables.ANSWERS,
        checks=(finite("rating"),),
        cells=cells,
        seeds=seeds or {},
        heavy=True,
    )


def accuracy_node(
    name: str,
    description: str,
    compute: Compute,
    axis: Axis,
    deps: tuple[str, ...],
    cells: tuple[Cell, ...] | None = None,
) -> Node:
    """REWARD_QUALITY: a reward model's verdicts on the preference test pairs."""
    return Node(
        name,
        MODELS,
        description,
        compute,
        axis=axis,
        deps=deps,
        schema=tables.REWARD_QUALITY,
        checks=(finite("chosen_reward", "rejected_reward"),),
        cells=cells,
        heavy=True,
    )
