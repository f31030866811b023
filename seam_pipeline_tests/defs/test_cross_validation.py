"""Fig. 3's assets on a tiny study, made by the code that Dagster calls."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from seam_pipeline.defs._node import Partition
from seam_pipeline.defs._run import make
from seam_pipeline.defs._study import Study
from seam_pipeline.defs.cross_validation import TESTS, further_seeds
from seam_pipeline.defs.graph import build_study
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Experiment, load_experiment, parse_experiment
from seam_pipeline.findings import Finding
from seam_pipeline.progress import silent
from seam_pipeline.store import Store

ASSETS = {"policy_replicas", "reward_replicas", "policy_cross_quality", "reward_cross_quality", TESTS}


def plain(**settings: Any) -> dict[str, Any]:
    found = load_experiment("smoke").model_dump(mode="json")
    found["findings"] = {"cross_validation": settings or None}
    found["rl"]["arms"] = [{"methods": ["full"], "cells": "diagonal"}]
    return found


def study(**settings: Any) -> Study:
    return build_study(Experiment.model_validate(plain(**settings)))


def test_only_further_seeds_are_trained() -> None:
    assert not ASSETS & set(study().nodes)
    found = study(ranks=1, seeds=[0, 1, 2])
    assert set(found.nodes) >= ASSETS
    assert further_seeds(found.experiment) == (1, 2)
    assert [p.key for p in found.wanted(found.nodes["policy_replicas"])] == ["pm01"]
    assert [p.key for p in found.wanted(found.nodes["reward_replicas"])] == ["rm01"]
    own = study(ranks=2, seeds=[0])
    assert not {"policy_replicas", "reward_replicas"} & set(own.nodes)
    assert own.nodes["policy_cross_quality"].deps == ("base_model", TESTS, "policy_model", "policy_quality")
    others = study(ranks=2, seeds=[3, 4])
    assert others.nodes["reward_cross_quality"].deps == ("base_model", TESTS, "reward_replicas")
    reward = found.nodes["reward_replicas"]
    assert found.upstream(reward, Partition(rm=1), "policy_replicas") == (Partition(pm=1),)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ranks": 3}, "findings.cross_validation.ranks: 3, but both ladders together have only 2"),
        ({"ranks": 1, "seeds": [1, 1]}, "findings.cross_validation: seeds: give each seed once"),
        ({"ranks": 1, "seeds": []}, "findings.cross_validation.seeds"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SeamError, match=message):
        parse_experiment(yaml.safe_dump(plain(**settings)), "here")


def test_a_plan_counts_what_is_trained_and_answered_anew() -> None:
    from seam_pipeline.planning._cost import cost_of
    from seam_pipeline.planning._size import DataSize, model_size

    e = study(ranks=1, seeds=[0, 1, 2], pairs=50).experiment
    size = model_size(e.base)
    assert size is not None
    data = DataSize(1000, 3.0, 300, 150, 30, 900, 80, 10.0, 20.0, True)

    def cost(name: str) -> Any:
        return cost_of(name, e, data, size, 1, 1)

    assert cost("policy_replicas").trained == 2 * cost("policy_model").trained > 0
    assert cost("reward_replicas").disk == 2 * cost("reward_model").disk > 0
    # Smoke asks 6 questions of each segment; policy_quality has those of the experiment's own policy on RL.
    assert cost("policy_cross_quality").written == (3 * 3 * 6 - 6) * 8
    # Shares 0.4, 0.4, 0.2: 80 test pairs of preference, so 80 and 40 of the others; at most 50 of each.
    assert cost("reward_cross_quality").scored == 2 * 30 * (3 * (50 + 50 + 40) - 50)


class Made:
    """A study in a store; `value` loads what `of` made."""

    def __init__(self, root: Path) -> None:
        self.study = study(ranks=1, seeds=[0, 1], pairs=9)
        self.store = Store(str(root))
        for node in self.study.order:
            if node.name in {"cross_validation", *self.study._ancestors("cross_validation")}:
                for partition in self.study.wanted(node)[:1]:
                    found = make(self.study, self.store, node, partition, silent)
                    assert not any(found.problems.values()), found.problems

    def value(self, name: str, partition: str | None = None) -> Any:
        return self.store.load(name, partition)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("store"))


def test_a_replica_is_the_same_training_with_another_seed(made: Made, tmp_path: Path) -> None:
    from seam_pipeline.training.reward import train_reward
    from seam_pipeline.training.sft import train_policy

    def split(name: str) -> tuple[pa.Table, pa.Table]:
        rows = made.value(name)
        train, dev = (rows.filter(pc.equal(rows["split"], split)) for split in ("train", "dev"))
        return train, dev

    e, base = made.study.experiment, made.value("base_model") / "model"
    train_policy(base, *split("sft_data"), e.policy.ranks[0], e.policy.sft, tmp_path / "pm", 1)
    weights = Path("adapters") / "00_sft" / "adapter_model.safetensors"
    replica, own = made.value("policy_replicas", "pm01") / "seed1", made.value("policy_model", "pm01") / "model"
    assert (replica / weights).read_bytes() == (tmp_path / "pm" / weights).read_bytes()
    assert (replica / weights).read_bytes() != (own / weights).read_bytes()
    training = e.reward.training
    train_reward(replica, *split("preference_data"), e.reward.ranks[0], training, tmp_path / "rm", 1)
    reward = made.value("reward_replicas", "rm01") / "seed1"
    for file in ("head.safetensors", "adapters/00_sft/adapter_model.safetensors"):
        assert (reward / file).read_bytes() == (tmp_path / "rm" / file).read_bytes()


def test_each_seed_answers_the_test_questions_of_every_segment(made: Made) -> None:
    rated, tests = made.value("policy_cross_quality", "pm01"), made.value(TESTS)["questions"]
    limit = made.study.experiment.evaluation.questions
    for segment in ("sft", "preference", "rl"):
        asked = tests.filter(pc.equal(tests["segment"], segment))["id"].to_pylist()[:limit]
        for seed in (0, 1):
            rows = rated.filter(pc.and_(pc.equal(rated["segment"], segment), pc.equal(rated["seed"], seed)))
            assert rows["id"].to_pylist() == asked
    own = rated.filter(pc.and_(pc.equal(rated["segment"], "rl"), pc.equal(rated["seed"], 0)))
    assert own.drop_columns(["segment"]) == made.value("policy_quality", "pm01")


def test_each_seed_compares_the_test_pairs_of_every_segment(made: Made) -> None:
    compared = made.value("reward_cross_quality", "rm01")
    counts = compared.group_by(["segment", "seed"]).aggregate([("id", "count")]).to_pylist()
    pairs = made.value(TESTS)["pairs"]
    for row in counts:
        there = pc.sum(pc.equal(pairs["segment"], row["segment"])).as_py()
        assert row["id_count"] == min(9, there)
    assert len(counts) == 6
    own = compared.filter(pc.and_(pc.equal(compared["segment"], "preference"), pc.equal(compared["seed"], 0)))
    quality = made.value("reward_quality", "rm01")
    assert own["chosen_reward"].to_pylist() == quality["chosen_reward"].to_pylist()[: len(own)]
    assert set(own["question_id"].to_pylist()) <= {i.rsplit(":", 1)[0] for i in quality["id"].to_pylist()}


def test_the_finding_is_written(made: Made) -> None:
    found = Finding.from_dict(made.value("cross_validation"))
    assert {row[1] for row in found.rows} == {"SFT", "preference", "RL"}
    assert "1 ranks" not in found.answer
    assert "2 seeds" in found.answer


def test_a_trained_question_is_refused(made: Made) -> None:
    check = next(c for c in made.study.nodes[TESTS].checks if c.name == "never_trained_on")
    inputs = {name: made.value(name) for name in ("sft_data", "preference_data", "rl_data")}
    pairs = made.value(TESTS)["pairs"]
    assert check.problem(pairs, inputs) is None
    trained = inputs["preference_data"].filter(pc.equal(inputs["preference_data"]["split"], "train"))
    leaked = pairs.slice(0, 1).set_column(1, pairs.schema.field(1), trained["question_id"].slice(0, 1))
    assert check.problem(leaked, inputs) == "1 pairs are of questions in the train or dev split of preference_data"
