"""Fig. 4 and 5: what is made, of which models, and what makes it stale."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from seam_pipeline import tables
from seam_pipeline.defs._node import Partition, Step
from seam_pipeline.defs._study import Study
from seam_pipeline.defs.graph import build_study
from seam_pipeline.defs.preference import _pair_up, outcomes_of
from seam_pipeline.experiment import Experiment, load_experiment
from seam_pipeline.progress import silent

PREFERENCE = {"policies": [1, 2], "reward": 2, "questions": 8}


def study(preference: dict[str, Any] | None = PREFERENCE, arms: tuple[dict[str, Any], ...] = ()) -> Study:
    plain = load_experiment("smoke").model_dump(mode="json")
    plain["findings"] = {"preference": preference}
    plain["rl"]["arms"] = [{"methods": ["full"], "cells": [[1, 1], [2, 1]], "seeds": [0]}, *arms]
    return build_study(Experiment.model_validate(plain))


MATCHED = {"methods": ["matched", "matched_random"], "cells": [[2, 1]], "seeds": [0]}


def test_nothing_without_the_setting() -> None:
    nodes = study(None).nodes
    assert not [name for name in nodes if name.startswith("preference_") and name != "preference_data"]
    assert "less_is_more" not in nodes
    assert "less_is_more" not in study().nodes
    assert "judge_agreement" in nodes  # the testbed's, whoever judges


def test_only_the_models_that_are_compared_are_read() -> None:
    found = study(PREFERENCE | {"policies": [2, 1]})
    nodes = found.nodes
    assert found.wanted(nodes["preference_responses"]) == (Partition(pm=1), Partition(pm=2))
    assert found.wanted(nodes["preference_rewards"]) == (Partition(rm=2),)
    assert found.upstream(nodes["preference_match"], Partition(), "preference_rewards") == (Partition(rm=2),)
    one_of_three = Experiment.model_validate(
        {
            **found.experiment.model_dump(mode="json"),
            "policy": {"ranks": [24, 8, 0]},
            "findings": {"preference": {"policies": [1, 3]}},
        }
    )
    other = build_study(one_of_three)
    assert other.wanted(other.nodes["preference_responses"]) == (Partition(pm=1), Partition(pm=3))


def test_matched_takes_the_reward_model_of_its_cell() -> None:
    found = study(arms=(MATCHED,))
    nodes = found.nodes
    assert found.wanted(nodes["preference_rewards"]) == (Partition(rm=1), Partition(rm=2))
    for method in ("matched", "matched_random"):
        node = nodes[f"selected_{method}"]
        assert found.upstream(node, Partition(2, 1), "preference_rewards") == (Partition(rm=1),)
        assert found.upstream(node, Partition(2, 1), "preference_verdicts") == (Partition(),)
        assert f"rlhf_quality_{method}_by_policy" in nodes["less_is_more"].deps
        assert f"rlhf_quality_{method}_by_policy" not in nodes["selection_methods"].deps
        assert f"selected_{method}" not in {*nodes["selection_methods"].deps, *nodes["truth"].deps}


def test_the_filter_rate_is_nothing_to_matched() -> None:
    plain = study(arms=(MATCHED,)).experiment.model_dump(mode="json")
    other = Experiment.model_validate({**plain, "selection": {"rate": 0.5}})
    reseeded = Experiment.model_validate({**plain, "selection": {"seed": 7}})
    for method, seeded in (("matched", False), ("matched_random", True)):
        first, second, third = (
            s.settings(s.nodes[f"selected_{method}"], Partition(2, 1))
            for s in (study(arms=(MATCHED,)), build_study(other), build_study(reseeded))
        )
        assert first == second
        assert (first != third) == seeded


def test_the_annotations_content_decides(tmp_path: Path) -> None:
    file = tmp_path / "votes.csv"
    found = study(PREFERENCE | {"source": "annotations", "annotations": str(file)})
    verdicts, answers = found.nodes["preference_verdicts"], found.nodes["preference_answers"]
    hashes = [found.settings(verdicts, Partition())]
    for text in ("one", "two", "one"):
        file.write_text(text)
        hashes.append(found.settings(verdicts, Partition()))
    assert hashes[1] == hashes[3]
    assert len(set(hashes)) == 3
    assert not verdicts.heavy
    assert answers.external is None
    assert "annotation_agreement" in found.nodes
    assert "annotation_agreement" not in study().nodes


def test_another_judge_makes_new_verdicts_only() -> None:
    plain = study().experiment.model_dump(mode="json")
    endpoint = {"model": "m", "base_url": "http://127.0.0.1:9/v1"}
    first, second = (
        build_study(
            Experiment.model_validate({**plain, "judge": {"kind": "openai", "endpoint": endpoint | {"model": m}}})
        )
        for m in ("m", "n")
    )
    for name, differs in (
        ("preference_verdicts", True),
        ("preference_answers", False),
        ("preference_responses", False),
    ):
        node, partition = first.nodes[name], Partition(pm=1 if name == "preference_responses" else None)
        assert (first.settings(node, partition) != second.settings(second.nodes[name], partition)) == differs, name


def test_answers_are_paired_by_the_order_of_the_setting(tmp_path: Path) -> None:
    rows = [
        {"id": f"q{k}", "split": "train", "instruction": f"I{k}", "golden_response": "g", "worse_response": None}
        for k in range(3)
    ]

    experiment = study(PREFERENCE | {"policies": [2, 1]}).experiment
    step = Step(experiment, Partition(), tmp_path, tmp_path, silent, "cpu")

    def written(who: str) -> pa.Table:
        texts = [
            {"id": f"q{k}", "candidate_index": 0, "candidate": f"{who}{k}", "source": "s", "similarity": None,
             "reason": None} for k in range(2)
        ]  # fmt: skip
        return pa.Table.from_pylist(texts, schema=tables.CANDIDATES)

    responses = {Partition(pm=1): written("best"), Partition(pm=2): written("second")}
    rl = pa.Table.from_pylist(rows, schema=tables.RL)
    found = _pair_up(step, {"preference_responses": responses, "rl_data": rl})
    assert found.schema == tables.PREFERENCE_ANSWERS
    assert list(found.to_pylist()[1].values()) == ["q1", "I1", "second1", "best1", 2, 1]


def test_outcomes_come_from_the_evidence() -> None:
    rewards = pa.table({"id": ["a", "a"], "candidate_index": pa.array([1, 2], pa.int32()), "reward": [1.0, 2.0]})
    verdicts = pa.table({"id": ["a"], "preference": ["1"]})
    assert outcomes_of({"preference_rewards": rewards, "preference_verdicts": verdicts}) == {"a": "mismatch"}
