"""Augmentation: what depends on what, which rows are added, and what a plan counts."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from seam_pipeline.defs._job import Job
from seam_pipeline.defs._node import Partition
from seam_pipeline.defs._study import Study
from seam_pipeline.defs.augmentation import band
from seam_pipeline.defs.graph import build_study
from seam_pipeline.defs.models import train_policy, train_reward
from seam_pipeline.experiment import Experiment, load_experiment
from seam_pipeline.planning._cost import cost_of
from seam_pipeline.planning._size import data_size, model_size
from seam_pipeline.store import Store
from seam_pipeline.tables import PREFERENCE, SFT

BEST = Partition(1, 1)


def study(unit: str = "examples", **settings: Any) -> Study:
    plain = load_experiment("smoke").model_dump(mode="json")
    plain["findings"] = {"augmentation": settings}
    plain["policy"]["sft"]["unit"] = unit
    plain["rl"]["arms"] = [{"methods": ["full", "seam_gpt"], "cells": [[1, 1]], "seeds": [0, 1]}]
    return build_study(Experiment.model_validate(plain))


def test_both_models_are_trained_again_and_rl_runs_on_them() -> None:
    nodes = study().nodes
    assert set(nodes["augmentation_data_seam_gpt"].deps) == {
        "sft_data", "preference_data", "rl_data", "seam_scores_llm"}  # fmt: skip
    assert "seam_scores_llm" not in nodes["augmentation_data_full_aug"].deps
    assert nodes["augmented_reward_random"].deps[:2] == ("base_model", "augmented_policy_random")
    run = nodes["rlhf_policy_augmented_random"]
    assert run.deps == ("base_model", "augmented_policy_random", "augmented_reward_random", "rl_data")
    assert run.seeds == {(1, 1): (0, 1)}
    assert "rlhf_quality_full_by_policy" in nodes["augmentation"].deps
    assert {n for n in nodes if n.startswith("augmented_policy_quality_")} == {
        f"augmented_policy_quality_{m}" for m in ("seam_gpt", "random", "full_aug")
    }


def test_what_decides_the_samples() -> None:
    plain = study()

    def changed(name: str, other: Study) -> bool:
        return plain.settings(plain.nodes[name], BEST) != other.settings(other.nodes[name], BEST)

    data, policy = "augmentation_data_seam_gpt", "augmented_policy_seam_gpt"
    for setting in ({"samples": 3}, {"rate": 0.3}, {"low": 0.5}, {"pairs": "contrast"}):
        assert changed(data, study(**setting)), setting
        assert not changed(policy, study(**setting)), setting  # trained again only where the samples differ
    assert not changed("augmentation_data_full_aug", study(rate=0.3))
    assert (band(plain.experiment).low, band(study(low=0.5).experiment).low) == (0.7, 0.5)


class _Step:
    """Records the jobs that a step starts."""

    def __init__(self, experiment: Experiment, partition: Partition) -> None:
        self.experiment, self.partition, self.jobs = experiment, partition, list[Job]()

    def train(self, job: Job, report: Any = None) -> None:
        self.jobs.append(job)


def sft(n: int, split: str, start: str) -> list[dict[str, str]]:
    return [{"id": f"{start}{i}", "split": split, "instruction": "?", "golden_response": "!"} for i in range(n)]


@pytest.mark.parametrize(("unit", "rows", "n"), [("examples", 27, 27), ("steps", 33, 24)])
def test_samples_come_on_top_of_the_ranks_rows(tmp_path: Path, unit: str, rows: int, n: int) -> None:
    """Rank 1 of smoke trains on 24; a policy counted in steps sees all rows."""
    step = _Step(study(unit).experiment, BEST)
    table = pa.Table.from_pylist([*sft(30, "train", "q"), *sft(2, "dev", "d")], schema=SFT)
    more = pa.Table.from_pylist(sft(3, "train", "new"), schema=SFT)
    inputs = {"sft_data": table, "base_model": tmp_path}
    train_policy(step, inputs, tmp_path / "model", 0, more=more)  # type: ignore[arg-type]
    (job,) = step.jobs
    assert (job.tables[0].num_rows, job.n) == (rows, n)
    assert job.tables[0]["id"].to_pylist()[-3:] == ["new0", "new1", "new2"]
    assert job.tables[1]["id"].to_pylist() == ["d0", "d1"]
    row = ("a:0", "a", "train", "?", "+", "-", 1, 0)
    pairs = pa.Table.from_pylist([dict(zip(PREFERENCE.names, row, strict=True))] * 30, schema=PREFERENCE)
    train_reward(step, {"preference_data": pairs}, tmp_path, tmp_path / "rm", 0, more=pairs.slice(0, 5))  # type: ignore[arg-type]
    assert (step.jobs[1].tables[0].num_rows, step.jobs[1].n) == (29, 29)


def test_a_plan_counts_the_added_rows(tmp_path: Path) -> None:
    found = study(samples=5, rate=0.2)
    e, size = found.experiment, model_size(found.experiment.base)
    assert size is not None
    data = data_size(e, Store(str(tmp_path)))
    plain, some, full = (
        cost_of(name, e, data, size, 1, 1).trained
        for name in ("policy_model", "augmented_policy_random", "augmented_policy_full_aug")
    )
    assert some / plain == pytest.approx(1 + data.rl_train / 24)
    assert full / plain == pytest.approx(1 + 5 * data.rl_train / 24)
    assert cost_of("augmented_policy_quality_random", e, data, size, 1, 1).trained == 0
    assert cost_of("augmented_policy_quality_random", e, data, size, 1, 1).written > 0
