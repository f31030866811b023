"""Likelihoods per policy, rewards per reward model, SEAM per pair."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from .. import tables
from ..experiment import Experiment, Variant
from ._checks import finite
from ._node import Inputs, Node, Partition, Step
from ._shapes import SCORES, likelihoods_node, rewards_node, scoring
from .candidates import likelihood_axis
from .models import MODEL, split_of

if TYPE_CHECKING:
    from ..scoring.reuse import Reuse


def nodes(experiment: Experiment) -> list[Node]:
    """Three passes per variant, and the base model's perplexities where a method needs them."""
    found = [node for variant in experiment.candidates.variants for node in _of_variant(variant)]
    if "adversarial" in experiment.candidates.variants:
        found.append(_adversarial_rows())
    if "perplexity" in experiment.selections:
        found.append(
            Node(
                "base_perplexities",
                SCORES,
                "One row per RL train instruction: its perplexity under the base model.",
                _perplexities,
                deps=("base_model", "rl_data"),
                settings=scoring,
                heavy=True,
            )
        )
    return found


def _of_variant(variant: Variant) -> list[Node]:
    likelihoods, rewards, candidates = (
        f"candidate_likelihoods_{variant}",
        f"candidate_rewards_{variant}",
        f"{variant}_candidates",
    )
    return [
        likelihoods_node(
            likelihoods,
            f"One row per {variant} candidate: its log-likelihood under the policy.",
            lambda step, inputs: _likelihoods(step, inputs, candidates),
            axis=likelihood_axis(variant),
            deps=("base_model", "policy_model", candidates, "rl_data"),
        ),
        rewards_node(
            rewards,
            f"One row per {variant} candidate and golden response (index -1): its reward.",
            lambda step, inputs: _rewards(step, inputs, candidates),
            axis="rm",
            deps=("base_model", "reward_model", candidates, "rl_data"),
        ),
        Node(
            f"seam_scores_{variant}",
            SCORES,
            f"One row per RL train instruction: SEAM of the pair from {variant} candidates; and one row per candidate.",
            lambda step, inputs: _seam(inputs, likelihoods, rewards, candidates),
            axis="grid",
            deps=(likelihoods, rewards, candidates, "rl_data"),
            schema=tables.SEAM_SCORES,
            main="scores",
            checks=(finite("seam_log", "seam_prob", "seam_mean_log", "seam_mean_prob"),),
        ),
        Node(
            f"seam_scores_{variant}_by_policy",
            SCORES,
            f"One row per instruction and reward model: a row of the grid of {variant} scores.",
            lambda step, inputs: by_policy(inputs[f"seam_scores_{variant}"], "scores"),
            axis="pm",
            deps=(f"seam_scores_{variant}",),
        ),
    ]


def _adversarial_rows() -> Node:
    cells = "candidate_likelihoods_adversarial"
    return Node(
        f"{cells}_by_policy",
        SCORES,
        "One row per adversarial candidate and reward model: a row of the grid of likelihoods.",
        lambda step, inputs: by_policy(inputs[cells]),
        axis="pm",
        deps=(cells,),
    )


def by_policy(cells: dict[Partition, Any], name: str | None = None) -> pa.Table:
    """Stack one policy's cells into one table with a column `rm`, so that fan-ins stay below 100 partitions."""
    parts = []
    for partition, value in sorted(cells.items(), key=lambda item: item[0].rm or 0):
        table = value[name] if name else value
        parts.append(table.append_column("rm", pa.array([partition.rm] * table.num_rows, pa.int32())))
    return pa.concat_tables(parts, promote_options="default") if parts else pa.table({"rm": pa.array([], pa.int32())})


def _likelihoods(step: Step, inputs: Inputs, candidates: str) -> pa.Table:
    from ..models.stack import load_policy
    from ..scoring.items import items_of
    from ..scoring.likelihood import score_likelihoods

    policy = load_policy(inputs["policy_model"] / MODEL, step.device)
    items = items_of(split_of(inputs["rl_data"], "train"), inputs[candidates])
    with _reuse(step, inputs["policy_model"], policy.model) as reuse:
        return score_likelihoods(policy, items, step.experiment.scoring, step.report, reuse=reuse)


def _rewards(step: Step, inputs: Inputs, candidates: str) -> pa.Table:
    from ..models.stack import load_reward
    from ..scoring.items import items_of
    from ..scoring.reward import score_rewards

    rm = load_reward(inputs["reward_model"] / MODEL, step.device)
    items = items_of(split_of(inputs["rl_data"], "train"), inputs[candidates], golden=True)
    with _reuse(step, inputs["reward_model"], rm.model) as reuse:
        return score_rewards(rm, items, step.experiment.scoring, step.report, reuse=reuse)


@contextmanager
def _reuse(step: Step, artifact: Path, model: Any) -> Iterator["Reuse"]:
    """The store's row cache for one model; notes what was computed."""
    from ..models.content import model_content
    from ..rowcache import RowCache
    from ..scoring.reuse import Reuse

    with RowCache(step.cache / "scores.sqlite") as cache:
        reuse = Reuse(cache, model_content(artifact / MODEL), model)
        yield reuse
        step.notes.update(reuse.notes)


def _seam(inputs: Inputs, likelihoods: str, rewards: str, candidates: str) -> dict[str, pa.Table]:
    from ..scoring.seam import seam_scores

    ids = split_of(inputs["rl_data"], "train")["id"].to_pylist()
    found = seam_scores(inputs[likelihoods], inputs[rewards], ids, inputs[candidates])
    return {"scores": found.scores, "candidate_scores": found.candidate_scores}


def _perplexities(step: Step, inputs: Inputs) -> pa.Table:
    from ..models.stack import load_policy
    from ..scoring.perplexity import perplexities

    base = load_policy(inputs["base_model"] / MODEL, step.device)
    return perplexities(base, split_of(inputs["rl_data"], "train"), step.experiment.scoring, step.report)
