"""Evidence for the selection baselines: answers sampled from the policies, and the pairs (r+, r-) scored."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .. import tables
from ..experiment import Cell, Experiment, Method, TestbedData
from . import scores
from ._checks import has_rows
from ._node import Inputs, Node, Step
from ._shapes import SCORES, likelihoods_node, rewards_node
from .models import MODEL, split_of

SAMPLED: tuple[Method, ...] = ("reward_variance", "pre_ppo", "pf_ppo")
"""Methods that read the rewards of the policy's own answers."""
SAMPLES, SAMPLE_REWARDS = "policy_samples", "sample_rewards"
PAIR_REWARDS, PAIR_LIKELIHOODS, BASE_PAIR_LIKELIHOODS = "pair_rewards", "pair_likelihoods", "base_pair_likelihoods"


def evidence_of(method: Method) -> tuple[str, ...]:
    """Assets that a baseline's score is made of."""
    if method in SAMPLED:
        return (SAMPLE_REWARDS,)
    if method == "margin_gap":
        return (PAIR_REWARDS, PAIR_LIKELIHOODS, BASE_PAIR_LIKELIHOODS)
    return (PAIR_REWARDS,) if method == "reward" else ()


def has_truth(experiment: Experiment) -> bool:
    """Whether the finding on the testbed's truth is made, which reads the best pair's samples."""
    return isinstance(experiment.data, TestbedData) and bool(experiment.candidates.variants)


def nodes(experiment: Experiment) -> list[Node]:
    """Only what a selection, or the truth on the testbed, reads."""
    wanted = experiment.selections
    sampled = {cell for method in SAMPLED for cell in wanted.get(method, ())}
    if has_truth(experiment):
        sampled.add((1, 1))
    found = _samples(tuple(sorted(sampled))) if sampled else []
    if "reward" in wanted or "margin_gap" in wanted:
        found.append(_pair_rewards())
    if "margin_gap" in wanted:
        found += _pair_likelihoods(tuple(sorted(wanted["margin_gap"])))
    return found


def _samples(cells: tuple[Cell, ...]) -> list[Node]:
    return [
        Node(
            SAMPLES,
            SCORES,
            "One row per answer that the policy samples for an RL train instruction.",
            _sample,
            axis="pm",
            deps=("base_model", "policy_model", "rl_data"),
            settings=lambda e, _: (
                e.selection.samples,
                e.selection.temperature,
                e.evaluation.max_new_tokens,
                e.seed,
            ),
            schema=tables.CANDIDATES,
            checks=(has_rows(),),
            cells=cells,
            heavy=True,
        ),
        rewards_node(
            SAMPLE_REWARDS,
            "One row per sampled answer and golden response (index -1): its reward.",
            lambda step, inputs: scores._rewards(step, inputs, SAMPLES),
            axis="grid",
            deps=("base_model", "reward_model", SAMPLES, "rl_data"),
            cells=cells,
        ),
    ]


def _pair_rewards() -> Node:
    return rewards_node(
        PAIR_REWARDS,
        "One row per golden (index -1) and worse (index 0) response of an RL train instruction: its reward.",
        lambda step, inputs: scores._rewards(step, {**inputs, "pairs": _pairs(inputs, "worse_response")}, "pairs"),
        axis="rm",
        deps=("base_model", "reward_model", "rl_data"),
    )


def _pair_likelihoods(cells: tuple[Cell, ...]) -> list[Node]:
    text = "One row per golden (index 0) and worse (index 1) response: its log-likelihood under the {}."
    return [
        likelihoods_node(
            PAIR_LIKELIHOODS,
            text.format("policy"),
            _likelihoods,
            axis="pm",
            deps=("base_model", "policy_model", "rl_data"),
            cells=cells,
        ),
        likelihoods_node(
            BASE_PAIR_LIKELIHOODS,
            text.format("base model"),
            lambda step, inputs: _likelihoods(step, {**inputs, "policy_model": inputs["base_model"]}),
            axis="one",
            deps=("base_model", "rl_data"),
        ),
    ]


def _likelihoods(step: Step, inputs: Inputs) -> pa.Table:
    pairs = _pairs(inputs, "golden_response", "worse_response")
    return scores._likelihoods(step, {**inputs, "pairs": pairs}, "pairs")


def _pairs(inputs: Inputs, *columns: str) -> pa.Table:
    """The RL train rows' own responses as CANDIDATES, numbered in the order of the columns; null ones are left out."""
    rows = split_of(inputs["rl_data"], "train")
    parts = [candidates_table(rows["id"], [k] * len(rows), rows[name], name) for k, name in enumerate(columns)]
    found = pa.concat_tables(parts)
    return found.filter(pc.is_valid(found["candidate"]))


def candidates_table(ids: Any, indices: list[int], texts: Any, source: str) -> pa.Table:
    """CANDIDATES of one source."""
    n = len(indices)
    columns = {"id": ids, "candidate_index": pa.array(indices, pa.int32()), "candidate": texts, "source": [source] * n}
    return pa.table({**columns, "similarity": [None] * n, "reason": [None] * n}, schema=tables.CANDIDATES)


def _sample(step: Step, inputs: Inputs) -> pa.Table:
    return sample(step, inputs, step.experiment.selection.samples)


def sample(step: Step, inputs: Inputs, k: int) -> pa.Table:
    """CANDIDATES: k answers of the policy to each RL train instruction."""
    from ..models.generate import generate
    from ..models.stack import load_policy

    e = step.experiment
    policy = load_policy(inputs["policy_model"] / MODEL, step.device)
    rows = split_of(inputs["rl_data"], "train").select(["id", "instruction"]).to_pylist()
    written = generate(
        policy,
        [row["instruction"] for row in rows for _ in range(k)],
        max_new_tokens=e.evaluation.max_new_tokens,
        temperature=e.selection.temperature,
        batch_size=e.evaluation.batch_size,
        seed=e.seed,
        progress=step.report,
    )
    ids = [row["id"] for row in rows for _ in range(k)]
    return candidates_table(ids, list(range(k)) * len(rows), [answer.text for answer in written], "policy sample")


def baseline_scores(method: Method, inputs: Inputs, ids: list[str], beta: float) -> pa.Table | None:
    """BASELINE_SCORES of a method from its evidence; None for methods that need none."""
    from ..scoring import baselines

    if method in SAMPLED:
        found: pa.Table = getattr(baselines, method)(inputs[SAMPLE_REWARDS], ids)
        return found
    if method == "reward":
        return baselines.golden_reward(inputs[PAIR_REWARDS], ids)
    if method == "margin_gap":
        sides = inputs[PAIR_LIKELIHOODS], inputs[BASE_PAIR_LIKELIHOODS]
        return baselines.margin_gap(inputs[PAIR_REWARDS], *sides, ids, beta)
    return None
