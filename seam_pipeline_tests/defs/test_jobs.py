"""The jobs that backfills are made of."""

from pathlib import Path

from seam_pipeline.defs._definitions import build_definitions
from seam_pipeline.defs.graph import build_study
from seam_pipeline.experiment import load_experiment
from seam_pipeline.store import Store


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
