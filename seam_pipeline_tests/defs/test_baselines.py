"""The baselines' evidence: made where it is read, once, and by the same code as the candidates' scores."""

import pyarrow as pa
import pytest
import yaml

from seam_pipeline.defs._node import Partition
from seam_pipeline.defs._study import Study
from seam_pipeline.defs._truth import _own_answers
from seam_pipeline.defs.baselines import _pairs, candidates_table
from seam_pipeline.defs.graph import build_study
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Experiment, load_experiment, parse_experiment
from seam_pipeline.tables import CANDIDATES, REWARDS, RL

EVIDENCE = {"policy_samples", "sample_rewards", "pair_rewards", "pair_likelihoods", "base_pair_likelihoods"}


def study(compare: tuple[str, ...], *, real: bool = False, arms: tuple[str, ...] = ()) -> Study:
    """The smoke study, or the same on files (no truth), with other methods."""
    plain = load_experiment("smoke").model_dump(mode="json")
    plain["selection"]["compare"] = compare
    if real:
        plain |= {"data": {"source": "files", "paths": ["x"]}, "judge": {"kind": "reference"}, "findings": {}}
        plain["candidates"] |= {"llm": None}
        plain["rl"]["arms"] = [{"methods": ["full", *arms], "cells": [[1, 1], [2, 1]], "seeds": [0]}]
    return build_study(Experiment.model_validate(plain))


@pytest.mark.parametrize(
    ("method", "made"),
    [
        ("length", set()),
        ("reward", {"pair_rewards"}),
        ("margin_gap", {"pair_rewards", "pair_likelihoods", "base_pair_likelihoods"}),
        ("reward_variance", {"policy_samples", "sample_rewards"}),
        ("pre_ppo", {"policy_samples", "sample_rewards"}),
        ("pf_ppo", {"policy_samples", "sample_rewards"}),
    ],
)
def test_evidence_is_made_where_it_is_read(method: str, made: set[str]) -> None:
    nodes = study((method,), real=True).nodes
    assert EVIDENCE & set(nodes) == made
    assert f"rlhf_policy_{method}" not in nodes
    assert set(nodes[f"selected_{method}"].deps) == {"rl_data", *(made - {"policy_samples"})}
    assert f"selected_{method}" in nodes["selection_methods"].deps
    in_arms = study((), real=True, arms=(method,)).nodes
    assert EVIDENCE & set(in_arms) == made
    assert f"rlhf_policy_{method}" in in_arms


def test_samples_are_drawn_once_per_policy_and_only_for_wanted_cells() -> None:
    found = study(("reward_variance", "pf_ppo"), real=True, arms=("pre_ppo",))
    assert found.wanted(found.nodes["policy_samples"]) == (Partition(pm=1), Partition(pm=2))
    assert found.wanted(found.nodes["sample_rewards"]) == (Partition(1, 1), Partition(2, 1))
    compared = study(("reward_variance",), real=True)
    assert compared.wanted(compared.nodes["policy_samples"]) == (Partition(pm=1),)


def test_the_truth_reads_the_same_samples() -> None:
    nodes = study(()).nodes
    assert set(nodes["own_answers"].deps) == {"policy_samples", "sample_rewards", "rl_data"}
    assert EVIDENCE & set(nodes) == {"policy_samples", "sample_rewards"}
    assert "selected_reward" in study(("reward",)).nodes["truth"].deps


def test_compared_methods_that_cannot_be_are_refused() -> None:
    plain = load_experiment("smoke").model_dump(mode="json")
    plain["selection"]["compare"] = ["full"]
    with pytest.raises(SeamError, match="selection.compare: full filters nothing"):
        parse_experiment(yaml.safe_dump(plain), "here")
    plain["selection"]["compare"] = ["seam_gpt"]
    plain["candidates"]["llm"] = None
    plain["rl"]["arms"] = [{"methods": ["full"], "cells": "diagonal"}]
    with pytest.raises(SeamError, match=r"selection.compare: seam_gpt needs candidates.llm, which is null"):
        parse_experiment(yaml.safe_dump(plain), "here")


def rl(*rows: tuple[str, str, str | None]) -> pa.Table:
    names = ("id", "golden_response", "worse_response")
    return pa.Table.from_pylist(
        [{**dict(zip(names, row, strict=True)), "split": "train", "instruction": "?"} for row in rows], schema=RL
    )


def test_pairs_leave_out_what_is_not_there() -> None:
    inputs = {"rl_data": rl(("a", "good", "bad"), ("b", "fine", None))}
    both = _pairs(inputs, "golden_response", "worse_response")
    assert both.schema == CANDIDATES
    assert [(row["id"], row["candidate_index"], row["candidate"]) for row in both.to_pylist()] == [
        ("a", 0, "good"), ("b", 0, "fine"), ("a", 1, "bad"),
    ]  # fmt: skip


def test_own_answers_join_samples_and_rewards() -> None:
    class Step:
        notes: dict[str, int] = {}  # noqa: RUF012

        class world:  # noqa: N801
            rate = staticmethod(lambda instruction, response: float(len(response)))

    samples = candidates_table(["a", "a", "b"], [0, 1, 0], ["yes", "", "no"], "policy sample")
    empty = "the response is empty"
    rewards = [("a", -1, 9.0, None), ("b", 0, 3.0, None), ("a", 0, 1.0, None), ("a", 1, None, empty)]
    table = pa.Table.from_pylist(
        [{"id": i, "candidate_index": k, "reward": r, "reason": why} for i, k, r, why in rewards], schema=REWARDS
    )
    inputs = {"policy_samples": samples, "sample_rewards": table, "rl_data": rl(("a", "x", None), ("b", "x", None))}
    assert _own_answers(Step, inputs).to_pylist() == [  # type: ignore[arg-type]
        {"id": "a", "response": "yes", "reward": 1.0, "rating": 3.0, "reason": None},
        {"id": "a", "response": "", "reward": None, "rating": 0.0, "reason": empty},
        {"id": "b", "response": "no", "reward": 3.0, "rating": 2.0, "reason": None},
    ]
    assert Step.notes == {"answers_without_reward": 1}
