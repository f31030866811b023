"""The reference without RL: policies tuned by DPO on the preference pairs."""

from pathlib import Path

import pyarrow as pa

from ..experiment import Experiment
from . import rl
from ._job import Job
from ._node import Inputs, Node, Step
from ._shapes import answers_node
from .models import MODEL, curve, split_of


def nodes(experiment: Experiment) -> list[Node]:
    """Each policy tuned by DPO, and its quality; none where `rl.dpo` is null."""
    if experiment.rl.dpo is None:
        return []
    return [
        Node(
            "dpo_policy",
            rl.RL,
            "One adapter per policy rank: the policy tuned by DPO on the preference pairs, without RL.",
            _dpo,
            axis="pm",
            deps=("base_model", "policy_model", "preference_data"),
            settings=lambda e, _: (e.rl.dpo, e.seed),
            figure=curve("loss"),
            heavy=True,
        ),
        answers_node(
            "dpo_quality",
            "One row per held-out test question: the answer after DPO, rated by the judge.",
            _dpo_quality,
            axis="pm",
            deps=("base_model", "dpo_policy", "rl_data"),
        ),
    ]


def _dpo(step: Step, inputs: Inputs) -> Path:
    e, pairs = step.experiment, split_of(inputs["preference_data"], "train")
    assert e.rl.dpo is not None
    if not (step.out / MODEL).exists():
        policy = inputs["policy_model"] / MODEL
        step.train(Job("dpo", (policy,), e.rl.dpo, step.out / MODEL, e.seed, tables=(pairs,)))
    return step.out


def _dpo_quality(step: Step, inputs: Inputs) -> pa.Table:
    return rl._answers(step, inputs, {0: inputs["dpo_policy"] / MODEL})
