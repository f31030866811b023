"""Cycles on tiny models: a policy on the policy before, a reward model with its own pairs, all seeds in one asset."""

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from seam_pipeline.defs import _cycle
from seam_pipeline.defs._cycle import Cycle
from seam_pipeline.defs._node import Partition, Step, world_of
from seam_pipeline.defs.graph import build_study
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Experiment, TestbedData, cycle_steps, load_experiment, parse_experiment
from seam_pipeline.judging.own_pairs import own_pairs
from seam_pipeline.models.stack import read_stack
from seam_pipeline.progress import silent
from seam_pipeline.selection.segments import segment, segment_of
from seam_pipeline.tables import CANDIDATES, PREFERENCE, RL
from seam_pipeline_tests.tiny import tiny_base, tiny_policy_stack, tiny_reward_stack


def experiment(**cycles: object) -> Experiment:
    plain = load_experiment("smoke").model_dump(mode="json")
    plain["findings"] = {"cycles": {"cycles": 2, "seeds": [0, 1], **cycles}}
    plain["rl"]["arms"] = [{"methods": ["full"], "cells": [[1, 1]], "seeds": [0, 1, 2]}]
    return Experiment.model_validate(plain)


def test_segments_are_a_division_by_the_id_alone() -> None:
    ids = [f"id{n}" for n in range(3000)]
    rows = pa.table({"id": ids})
    parts = [segment(rows, number, 3)["id"].to_pylist() for number in (1, 2, 3)]
    assert sorted(i for part in parts for i in part) == sorted(ids)
    assert all(900 < len(part) < 1100 for part in parts)
    assert segment(rows.slice(1000), 2, 3)["id"].to_pylist() == [i for i in parts[1] if int(i[2:]) >= 1000]
    assert segment_of("id0", 1) == 1


def test_own_pairs_by_hand() -> None:
    rows = [("a", "x", 3.0), ("a", "y", 8.6), ("a", "z", 1.0), ("b", "u", 4.0), ("b", "v", 4.0), ("c", "w", None)]
    answers = pa.table(
        {
            "id": [r[0] for r in rows], "instruction": [f"{r[0]}?" for r in rows], "response": [r[1] for r in rows],
            "rating": [r[2] for r in rows],
        }
    )  # fmt: skip
    pairs = own_pairs(answers, "cycle1")
    assert pairs.schema == PREFERENCE
    assert pairs.to_pylist() == [
        {"id": "a:cycle1", "question_id": "a", "split": "train", "instruction": "a?", "chosen": "y", "rejected": "z",
         "chosen_score": 9, "rejected_score": 1},
    ]  # fmt: skip


def test_the_steps_of_the_cycles_add_up() -> None:
    e = experiment()
    cycles = e.findings.cycles
    assert cycles is not None
    e = e.model_copy(update={"rl": e.rl.model_copy(update={"ppo": e.rl.ppo.model_copy(update={"steps": 7})})})
    assert [cycle_steps(e, cycles, n) for n in (1, 2)] == [3, 4]


def test_the_graph_of_two_cycles() -> None:
    study = build_study(experiment())
    second = study.nodes["cycle2_policy_random"]
    assert set(second.deps) == {"base_model", "cycle1_policy_random", "cycle1_reward_random", "rl_data",
                                "cycle2_selected_random"}  # fmt: skip
    assert study.upstream(study.nodes["cycle1_policy_random"], Partition(), "policy_model") == (Partition(pm=1),)
    assert "cycle2_reward_random" not in study.nodes
    assert "cycle1_answers_full" in study.nodes["cycles"].deps
    assert "cycles" in study.nodes["verdict"].deps
    assert not any(name.startswith("cycle") for name in build_study(load_experiment("paper")).nodes)


@pytest.mark.parametrize(
    ("cycles", "said"),
    [
        ({"seeds": [9]}, "findings.cycles.seeds: 9 is not among the seeds"),
        ({"cycles": 3}, "findings.cycles.cycles: 3 cycles share fewer steps of RL than that"),
    ],
)
def test_impossible_cycles_are_refused(cycles: dict[str, object], said: str) -> None:
    plain = load_experiment("smoke").model_dump(mode="json")
    plain["findings"] = {"cycles": {"cycles": 2, **cycles}}
    plain["rl"]["arms"] = [{"methods": ["full"], "cells": [[1, 1]]}]
    with pytest.raises(SeamError, match=said):
        parse_experiment(yaml.safe_dump(plain), "here")
    plain["findings"] = {"cycles": {"cycles": 2}}
    plain["rl"]["arms"] = [{"methods": ["seam_gpt"], "cells": [[1, 1]]}]
    with pytest.raises(SeamError, match="findings.cycles: compared with full"):
        parse_experiment(yaml.safe_dump(plain), "here")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A tiny base, policy and reward model where the store would have them, and questions of the smoke world."""
    e, root = experiment(), tmp_path_factory.mktemp("cycles")
    assert isinstance(e.data, TestbedData)
    answered: dict[str, list[dict[str, Any]]] = {}
    for row in world_of(e.data).question_answers().to_pylist():
        answered.setdefault(row["question_id"], []).append(row)
    rl, pairs, candidates = [], [], []
    for number, (question, (best, *_, worst)) in enumerate(list(answered.items())[:40]):
        row = {"id": question, "split": "train" if number < 32 else "test", "instruction": best["instruction"]}
        rl.append({**row, "golden_response": best["response"], "worse_response": worst["response"]})
        pairs.append({**row, "question_id": question, "chosen": best["response"], "rejected": worst["response"],
                      "chosen_score": 2, "rejected_score": 1})  # fmt: skip
        if row["split"] == "train":
            candidates.append({"id": question, "candidate_index": 0, "candidate": worst["response"], "source": "s",
                               "similarity": 0.8, "reason": None})  # fmt: skip
    base = tiny_base(root / "base" / "model")
    tiny_policy_stack(root / "pm" / "model", base)
    tiny_reward_stack(root / "rm" / "model", base)
    return root, {
        "base_model": root / "base", "policy_model": root / "pm", "reward_model": root / "rm",
        "rl_data": pa.Table.from_pylist(rl, schema=RL),
        "preference_data": pa.Table.from_pylist(pairs, schema=PREFERENCE),
        "contrast_candidates": pa.Table.from_pylist(candidates, schema=CANDIDATES),
    }  # fmt: skip


def test_two_cycles_stack_and_refresh(made: tuple[Path, dict[str, Any]]) -> None:
    root, inputs = made
    e = experiment()
    found = dict(inputs)
    for number in (1, 2):
        cycle = Cycle(number, "seam_contrast")
        for kind in ("scores", "selected", "policy", "answers", *(("reward",) if number == 1 else ())):
            out = root / cycle.asset(kind)
            out.mkdir()
            step = Step(e, Partition(), out, root / "cache", silent, "cpu", asset=cycle.asset(kind))
            found[cycle.asset(kind)] = getattr(_cycle, f"cycle_{kind}")(step, found, cycle)
    ids = set(segment(found["rl_data"].filter(pc.equal(found["rl_data"]["split"], "train")), 1, 2)["id"].to_pylist())
    scores, selected = found["cycle1_scores_seam_contrast"], found["cycle1_selected_seam_contrast"]
    assert scores.schema == _cycle.SCORES
    assert [row["id"] for row in scores.to_pylist()].count(sorted(ids)[0]) == 2  # once per seed
    assert set(scores["id"].to_pylist()) == ids
    assert selected.schema == _cycle.SELECTED
    out = selected.filter(pc.invert(selected["kept"]))
    lowest = min(scores.to_pylist()[: len(ids)], key=lambda row: row["seam_log"])
    assert lowest["id"] in out["id"].to_pylist()
    for seed in (0, 1):
        first, second = (read_stack(root / f"cycle{n}_policy_seam_contrast" / f"seed{seed}" / "model") for n in (1, 2))
        assert [name for name, _ in first.adapters] == ["00_sft", "01_rl"]
        assert [name for name, _ in second.adapters] == ["00_sft", "01_rl", "02_rl"]
        # The policy of the cycle before is inside, unchanged: it is the reference.
        one, two = (dict(s.adapters)["01_rl"] / "adapter_model.safetensors" for s in (first, second))
        assert one.read_bytes() == two.read_bytes()
        reward = read_stack(root / "cycle1_reward_seam_contrast" / f"seed{seed}" / "model")
        assert [name for name, _ in reward.adapters] == ["00_sft", "01_rm"]
    answers = found["cycle2_answers_seam_contrast"]
    assert answers.num_rows == 2 * e.findings.cycles.answers * (32 - len(ids))  # type: ignore[union-attr]
    assert not set(answers["id"].to_pylist()) & ids
    judged = _cycle.cycle_quality(step_of(step, root / "quality"), found, Cycle(2, "seam_contrast"))
    assert sorted(set(judged["seed"].to_pylist())) == [0, 1]


def step_of(step: Step, out: Path) -> Step:
    out.mkdir()
    return dataclasses.replace(step, out=out)
