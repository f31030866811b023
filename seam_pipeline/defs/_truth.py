"""On the testbed: does a low score predict that the reward model misorders the policy's own answers?"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa

from ..experiment import VARIANT_OF_METHOD, Experiment, TestbedData
from ._node import Inputs, Node, Step
from .models import MODEL, split_of

if TYPE_CHECKING:
    from ..findings import Finding

SAMPLES = 4
"""Answers sampled per instruction."""


def truth_nodes(experiment: Experiment, finding_node: Callable[..., Node]) -> list[Node]:
    """The best pair's own answers with rewards and gold ratings, and the finding; nothing off the testbed."""
    if not isinstance(experiment.data, TestbedData) or not experiment.candidates.variants:
        return []
    scores = {v: f"seam_scores_{v}" for v in experiment.candidates.variants}
    baselines = {
        str(m): f"selected_{m}"
        for m in experiment.methods
        if m not in VARIANT_OF_METHOD and m != "full" and (1, 1) in experiment.runs[m]
    }

    def compute(_step: Step, inputs: Inputs) -> "Finding":
        from ..findings.truth import mismatch_of_samples, truth

        return truth(
            {variant: inputs[name]["scores"] for variant, name in scores.items()},
            mismatch_of_samples(inputs["own_answers"]),
            pair=(1, 1),
            baselines={method: inputs[name] for method, name in baselines.items()},
        )

    read = (*scores.values(), *baselines.values())
    own = Node(
        "own_answers",
        "4_scores",
        "One row per answer that the best policy samples for an RL train instruction: its reward and its gold rating.",
        _own_answers,
        deps=("base_model", "policy_model", "reward_model", "rl_data"),
        best=frozenset({"policy_model", "reward_model"}),
        settings=lambda e, _: (e.evaluation.max_new_tokens, e.rl.ppo.temperature, e.seed, SAMPLES),
        heavy=True,
    )
    return [own, finding_node("truth", compute, ("own_answers", *read), best=frozenset(read))]


def _own_answers(step: Step, inputs: Inputs) -> pa.Table:
    from ..models.generate import generate
    from ..models.stack import load_policy, load_reward

    e = step.experiment
    policy = load_policy(inputs["policy_model"] / MODEL, step.device)
    rm = load_reward(inputs["reward_model"] / MODEL, step.device)
    rows = [row for row in split_of(inputs["rl_data"], "train").to_pylist() for _ in range(SAMPLES)]
    written = generate(
        policy,
        [row["instruction"] for row in rows],
        max_new_tokens=e.evaluation.max_new_tokens,
        temperature=e.rl.ppo.temperature,
        batch_size=e.evaluation.batch_size,
        seed=e.seed,
        progress=step.report,
    )
    texts = [(row["instruction"], answer.text) for row, answer in zip(rows, written, strict=True)]
    rewards = rm.rewards(rm.encode(texts))
    return pa.table(
        {
            "id": [row["id"] for row in rows],
            "response": [answer.text for answer in written],
            "reward": pa.array([float(r) for r in rewards], pa.float64()),
            "rating": [step.world.rate(row["instruction"], a.text) for row, a in zip(rows, written, strict=True)],
        }
    )
