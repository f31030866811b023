"""Tab. 2's assets: the study's own on another base."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from seam_pipeline.defs._node import Partition
from seam_pipeline.defs._study import Study
from seam_pipeline.defs.graph import build_study
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Experiment, load_experiment, on_base, parse_experiment

LARGER: dict[str, Any] = {
    "scratch": {"vocab_size": 512, "hidden_size": 48, "intermediate_size": 96, "layers": 2, "heads": 2, "steps": 20},
    "sft": {"learning_rate": 1e-3, "lora": {"r": 2}},
    "reward": {"batch_size": 4},
}


def plain(bases: dict[str, Any], preference: dict[str, Any] | None) -> dict[str, Any]:
    found = load_experiment("smoke").model_dump(mode="json")
    found["findings"] = {"base_sizes": {"bases": bases}, "preference": preference}
    found["rl"]["arms"] = [{"methods": ["full"], "cells": "diagonal"}]
    return found


GOLD = {"policies": [1, 2], "source": "gold"}


def study(**more: Any) -> Study:
    return build_study(Experiment.model_validate(plain({"larger": LARGER}, GOLD | more)))


def test_a_base_has_its_own_settings() -> None:
    own = Experiment.model_validate(plain({"larger": LARGER}, GOLD))
    other = on_base(own, "larger")
    assert other.base.scratch is not None
    assert (other.base.scratch.hidden_size, other.base.scratch.learning_rate) == (48, 3e-3)
    assert other.policy.sft.learning_rate == 1e-3
    assert other.policy.sft.lora == own.policy.sft.lora.model_copy(update={"r": 2})
    assert (other.policy.ranks, other.policy.sft.batch_size) == (own.policy.ranks, own.policy.sft.batch_size)
    assert (other.reward.training.batch_size, other.reward.training.learning_rate) == (4, 1e-3)
    assert own.policy.sft.learning_rate == 2e-3


@pytest.mark.parametrize(
    ("base", "preference", "message"),
    [
        (LARGER, None, "a match rate per base needs findings.preference"),
        (LARGER, {"policies": [1, 2], "source": "annotations", "annotations": "x.csv"}, "people have not compared"),
        (LARGER | {"sft": {"speed": 1}}, GOLD, r"findings.base_sizes.bases.larger.sft.speed: there is no such key"),
        (LARGER | {"reward": {"lora": {"r": 0}}}, GOLD, r"bases.larger.reward.lora.r: Input should be greater"),
        ({"path": "a/b", **LARGER}, GOLD, "give exactly one of path and scratch"),
    ],
)
def test_what_cannot_be_is_refused(base: dict[str, Any], preference: dict[str, Any] | None, message: str) -> None:
    with pytest.raises(SeamError, match=message):
        parse_experiment(yaml.safe_dump(plain({"larger": base}, preference)), "here")


def test_only_what_the_table_needs_is_made_on_the_further_base() -> None:
    found = study()
    further = {name: node for name, node in found.nodes.items() if name.endswith("_larger")}
    assert {n.removesuffix("_larger"): [p.key for p in found.wanted(node)] for n, node in further.items()} == {
        "base_model": [None],
        "policy_model": ["pm01", "pm02"],
        "policy_quality": ["pm01"],
        "reward_model": ["rm01"],
        "reward_quality": ["rm01"],
        "preference_responses": ["pm01", "pm02"],
        "preference_answers": [None],
        "preference_rewards": ["rm01"],
        "preference_verdicts": [None],
    }
    assert set(further["reward_model_larger"].deps) == {"base_model_larger", "policy_model_larger", "preference_data"}
    assert found.upstream(further["reward_model_larger"], Partition(rm=1), "policy_model_larger") == (Partition(pm=1),)
    assert "policy_quality_larger" in found.nodes["base_sizes"].best


def test_a_bases_settings_change_its_own_assets_only() -> None:
    changed = LARGER | {"sft": {"learning_rate": 5e-4}}
    before, after = study(), build_study(Experiment.model_validate(plain({"larger": changed}, GOLD)))
    differ = {
        name
        for name, node in before.nodes.items()
        if any(before.settings(node, p) != after.settings(after.nodes[name], p) for p in before.wanted(node))
    }
    assert differ == {"policy_model_larger", "base_sizes", "report"}


def test_a_copy_reads_its_own_base_under_the_names_that_its_code_knows(tmp_path: Path) -> None:
    from seam_pipeline.defs._node import Step

    found = study()
    node, own = found.nodes["preference_answers_larger"], found.nodes["preference_answers"]
    assert node.deps == ("preference_responses_larger", "rl_data")
    assert node.follows == on_base(found.experiment, "larger")
    step = Step(found.experiment, Partition(), tmp_path, tmp_path, lambda done, total: None, "cpu")
    base = found.nodes["base_model_larger"]
    given = build_study(
        Experiment.model_validate(plain({"larger": {"path": "owner/large", "dtype": "bfloat16"}}, GOLD))
    )
    given.nodes["base_model_larger"].compute(step, {})
    assert '"owner/large"' in (tmp_path / "model" / "base.json").read_text()
    assert given.nodes["base_model_larger"].deps == ()
    assert base.deps == found.nodes["base_model"].deps
    assert own.follows is None
