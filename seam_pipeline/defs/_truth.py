"""On the testbed: does a low score predict that the reward model misorders the policy's own answers?"""

from typing import TYPE_CHECKING

import pyarrow as pa

from ..experiment import MATCHED, VARIANT_OF_METHOD, Experiment
from ._finding_node import finding_node
from ._node import Inputs, Node, Step
from .baselines import SAMPLE_REWARDS, SAMPLES, has_truth
from .models import split_of

if TYPE_CHECKING:
    from ..findings import Finding


def truth_nodes(experiment: Experiment) -> list[Node]:
    """The best pair's own answers with rewards and gold ratings, and the finding; nothing off the testbed."""
    if not has_truth(experiment):
        return []
    scores = {v: f"seam_scores_{v}" for v in experiment.candidates.variants}
    baselines = {
        str(m): f"selected_{m}"
        for m, cells in experiment.selections.items()
        if m not in (*VARIANT_OF_METHOD, *MATCHED, "full") and (1, 1) in cells
    }

    def compute(_step: Step, inputs: Inputs) -> "Finding":
        from ..findings.truth import mismatch_of_samples, truth

        return truth(
            {variant: inputs[name]["scores"] for variant, name in scores.items()},
            mismatch_of_samples(inputs["own_answers"]),
            pair=(1, 1),
            baselines={method: inputs[name] for method, name in baselines.items()},
            answers=inputs["own_answers"],
        )

    read = (*scores.values(), *baselines.values())
    own = Node(
        "own_answers",
        "4_scores",
        "One row per answer that the best policy samples for an RL train instruction: its gold rating and its reward.",
        _own_answers,
        deps=(SAMPLES, SAMPLE_REWARDS, "rl_data"),
        best=frozenset({SAMPLES, SAMPLE_REWARDS}),
        version="2",
    )
    return [own, finding_node("truth", compute, ("own_answers", *read), best=frozenset(read))]


def _own_answers(step: Step, inputs: Inputs) -> pa.Table:
    """The samples in their order; `reward` is null with the reason where there is none, as for an empty answer."""
    answers, rows = inputs[SAMPLES].to_pylist(), split_of(inputs["rl_data"], "train")
    scored = {(row["id"], row["candidate_index"]): row for row in inputs[SAMPLE_REWARDS].to_pylist()}
    rewards = [scored[row["id"], row["candidate_index"]] for row in answers]
    instruction = dict(zip(rows["id"].to_pylist(), rows["instruction"].to_pylist(), strict=True))
    step.notes["answers_without_reward"] = sum(row["reward"] is None for row in rewards)
    columns = {
        "id": [row["id"] for row in answers],
        "response": [row["candidate"] for row in answers],
        "reward": pa.array([row["reward"] for row in rewards], pa.float64()),
        "rating": [step.world.rate(instruction[row["id"]], row["candidate"]) for row in answers],
        "reason": pa.array([row["reason"] for row in rewards], pa.string()),
    }
    return pa.table(columns)
