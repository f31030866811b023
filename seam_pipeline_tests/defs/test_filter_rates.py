"""Filter rates: what is trained anew, what the arms have already, and what a plan counts."""

from typing import Any

import pyarrow as pa

from seam_pipeline.defs._node import Partition
from seam_pipeline.defs._study import Study
from seam_pipeline.defs.filter_rates import filter_runs, same_runs
from seam_pipeline.defs.graph import build_study
from seam_pipeline.experiment import Experiment, load_experiment
from seam_pipeline.planning._cost import cost_of
from seam_pipeline.planning._size import data_size, model_size
from seam_pipeline.store import Store

BEST = Partition(1, 1)


def study(**settings: Any) -> Study:
    """Smoke: full, seam_gpt and random on [1, 1] with seeds 0 and 1."""
    plain = load_experiment("smoke").model_dump(mode="json")
    plain["findings"] = {"filter_rates": settings}
    plain["rl"]["arms"] = [
        {"methods": ["full", "seam_gpt", "random"], "cells": [[1, 1]], "seeds": [0, 1]},
        {"methods": ["full"], "cells": [[2, 2]], "seeds": [0]},
    ]
    return build_study(Experiment.model_validate(plain))


def names(**settings: Any) -> dict[tuple[str, float], str]:
    return {(str(m), rate): run.name for (m, rate), run in filter_runs(study(**settings).experiment).items()}


def test_the_arms_own_rate_is_not_run_twice() -> None:
    assert names(rates=[0.2, 0.4]) == {
        ("seam_gpt", 0.2): "seam_gpt", ("seam_gpt", 0.4): "seam_gpt_40",
        ("random", 0.2): "random", ("random", 0.4): "random_40",
    }  # fmt: skip
    found = study(rates=[0.2, 0.4])
    assert "rlhf_policy_seam_gpt_20" not in found.nodes
    assert found.nodes["rlhf_policy_random_40"].seeds == {(1, 1): (0, 1)}
    assert set(found.nodes["filter_rates"].deps) == {
        f"{prefix}{name}{suffix}"
        for name in ("seam_gpt", "seam_gpt_40", "random", "random_40")
        for prefix, suffix in (("rlhf_quality_", "_by_policy"), ("selected_", ""))
    } | {"rlhf_quality_full_by_policy"}


def test_the_arms_must_have_every_cell_and_seed() -> None:
    assert set(names(rates=[0.2], seeds=[1]).values()) == {"seam_gpt", "random"}
    assert set(names(rates=[0.2], cells=[[1, 1], [2, 2]]).values()) == {"seam_gpt_20", "random_20"}
    assert set(names(rates=[0.2], method="seam_adv", random=False).values()) == {"seam_adv_20"}


def test_each_rate_is_an_artifact_of_its_own() -> None:
    found = study(rates=[0.1, 0.4])
    prints = {name: found.settings(found.nodes[f"selected_{name}"], BEST) for name in ("seam_gpt_10", "seam_gpt_40")}
    assert len(set(prints.values())) == 2
    arms = study(rates=[0.2], cells=[[1, 1], [2, 2]])
    same = [arms.settings(arms.nodes[f"selected_{name}"], BEST) for name in ("seam_gpt", "seam_gpt_20")]
    assert same[0] == same[1]
    run = [arms.settings(arms.nodes[f"rlhf_policy_{name}"], BEST) for name in ("seam_gpt", "seam_gpt_20")]
    assert run[0] == run[1]
    assert arms.wanted(arms.nodes["rlhf_policy_seam_gpt_20"]) == (BEST, Partition(2, 2))


def test_a_plan_counts_the_runs(tmp_path: Any) -> None:
    found = study(rates=[0.4])
    e, size = found.experiment, model_size(found.experiment.base)
    assert size is not None
    data = data_size(e, Store(str(tmp_path)))
    one, two = (cost_of("rlhf_policy_seam_gpt_40", e, data, size, 1, 1, runs) for runs in (1, 2))
    assert two.trained == 2 * one.trained > 0
    assert one.trained == cost_of("rlhf_policy_full", e, data, size, 1, 1, 1).trained


def test_only_the_findings_cells_and_seeds_are_compared() -> None:
    rows = {
        Partition(pm=1): pa.table({"rm": [1, 1, 2], "seed": pa.array([0, 5, 0], pa.int32()), "id": ["a", "b", "c"]}),
        Partition(pm=2): pa.table({"rm": [2], "seed": pa.array([0], pa.int32()), "id": ["d"]}),
    }
    kept = same_runs(rows, {(1, 1): (0, 1), (2, 2): (0,)})  # type: ignore[arg-type]
    assert {cell: table["id"].to_pylist() for cell, table in kept.items()} == {(1, 1): ["a"], (2, 2): ["d"]}
