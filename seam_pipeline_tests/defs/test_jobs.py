"""The jobs that backfills are made of."""

from pathlib import Path

import dagster as dg

from seam_pipeline.defs._definitions import build_definitions
from seam_pipeline.defs._update import Display, update
from seam_pipeline.defs.graph import build_study
from seam_pipeline.experiment import load_experiment
from seam_pipeline.store import Store

from .toy import toy_study, value


def test_a_job_of_an_axis_holds_what_every_rank_or_cell_has(tmp_path: Path) -> None:
    study = build_study(load_experiment("smoke"))
    definitions = build_definitions(study, Store(str(tmp_path / "smoke")))
    chosen = {
        name: {key.path[-1] for key in definitions.resolve_job_def(name).asset_layer.executable_asset_keys}
        for name in ("per_policy", "per_reward_model", "per_cell", "arms_per_cell")
    }
    for name, axis in (("per_policy", "pm"), ("per_reward_model", "rm"), ("per_cell", "grid")):
        assert chosen[name]
        assert all(study.wanted(study.nodes[node]) == study.axis(axis) for node in chosen[name])
    assert "rlhf_policy_full" in chosen["arms_per_cell"]
    assert not chosen["per_cell"] & chosen["arms_per_cell"]


def test_a_cell_that_is_not_run_is_left_out_of_a_job_and_refused_by_itself(tmp_path: Path) -> None:
    (tmp_path / "source.txt").write_text("1")
    study, store = toy_study(tmp_path), Store(str(tmp_path))
    definitions = build_definitions(study, store)
    with dg.DagsterInstance.ephemeral() as instance:
        update(study, store, {"source", "policy", "reward"}, instance, Display())
        job = definitions.resolve_job_def("arms_per_cell")
        absent = job.execute_in_process(instance=instance, partition_key="pm01|rm02")
        assert absent.success
        assert not absent.asset_materializations_for_node("smoke__cell")
        assert job.execute_in_process(instance=instance, partition_key="pm02|rm01").success
        assert value(store.load("cell", "pm02|rm01")) == 23
        alone = definitions.resolve_implicit_global_asset_job_def().execute_in_process(
            instance=instance,
            partition_key="pm01|rm02",
            asset_selection=[dg.AssetKey(["smoke", "cell"])],
            raise_on_error=False,
        )
        assert not alone.success
        assert "is nothing that the experiment runs" in str(alone.all_node_events[-1].event_specific_data)
