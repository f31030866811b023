"""What Dagster is told about assets, and what it costs to tell it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from click.testing import CliRunner

from seam_pipeline.cli._ui import ui
from seam_pipeline.defs._curves import curve_png
from seam_pipeline.defs._definitions import build_definitions
from seam_pipeline.defs._metadata import described, kinds_of, meaning, preview, tags_of
from seam_pipeline.defs._node import Partition
from seam_pipeline.defs.graph import build_study
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import load_experiment
from seam_pipeline.store import Store
from seam_pipeline_tests.defs.toy import toy_study

HEAVY = ("torch", "transformers", "datasets", "trl", "peft", "sentence_transformers", "matplotlib", "scipy", "pandas")


def test_partitions_say_what_they_are() -> None:
    study = build_study(load_experiment("paper"))
    grid = described(study, study.nodes["rlhf_policy_seam_gpt"])
    assert grid.startswith("One PPO adapter per seed")
    assert "tuned on so many examples: `pm01` 10,000, `pm02` 5,000," in grid
    assert "trained on so many pairs: `rm01` 100,000," in grid
    assert "Asked for (policy|reward model): 1|1, 1|2, 2|1, 2|2, 3|3." in grid
    assert described(study, study.nodes["posts"]) == study.nodes["posts"].description
    assert meaning(study.experiment, Partition(2, 10)) == (
        "policy rank 2 of 10 (5,000 examples), reward model rank 10 of 10 (0 pairs)"
    )
    assert meaning(study.experiment, Partition()) is None


def test_kinds_and_tags_are_those_of_the_work() -> None:
    study = build_study(load_experiment("paper"))
    nodes = study.nodes
    assert kinds_of(study, nodes["policy_quality"]) == {"pytorch", "parquet"}
    assert kinds_of(study, nodes["llm_candidates"]) == {"openai", "parquet"}
    assert tags_of(study, nodes["policy_model"]) == {"seam/axis": "pm", "seam/pool": "gpu"}
    assert tags_of(study, nodes["rl_data"]) == {"seam/axis": "one"}


def test_groups_sort_in_the_order_of_the_study() -> None:
    groups = {node.group for node in build_study(load_experiment("smoke")).order}
    assert sorted(groups) == [
        "1_data", "2_models", "3_candidates", "4_scores", "5_selection", "6_rl", "7_quality", "8_findings", "9_report"
    ]  # fmt: skip


def test_previews_are_short_tables() -> None:
    text = preview(pa.table({"id": ["a|b", "c" * 99], "score": [0.123456, None]}))
    assert text.splitlines()[:3] == ["| id | score |", "| --- | --- |", "| a\\|b | 0.1235 |"]
    assert text.endswith("c… | None |")


def test_a_curve_without_points_is_none() -> None:
    assert curve_png(pa.table({"step": [1], "loss": [None]}), "loss") is None
    png = curve_png(pa.table({"step": [1, 2], "loss": [2.0, float("inf")]}), "loss")
    assert png is not None
    assert png.startswith(b"\x89PNG")


def test_metadata_of_an_artifact(tmp_path: Path) -> None:
    (tmp_path / "source.txt").write_text("1")
    study, store = toy_study(tmp_path), Store(str(tmp_path))
    job = build_definitions(study, store).resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        keys = [dg.AssetKey(["smoke", name]) for name in ("source", "policy")]
        for key, partition in zip(keys, (None, "pm02"), strict=True):
            job.execute_in_process(instance=instance, asset_selection=[key], partition_key=partition)
        event = instance.get_latest_materialization_event(keys[1])
    assert event is not None
    assert event.asset_materialization is not None
    metadata = event.asset_materialization.metadata
    assert metadata["ranks"].value == "policy rank 2 of 2 (0 examples)"
    assert metadata["path"].value == str(tmp_path / "policy" / "pm02")
    assert metadata["preview"].value == "| value |\n| --- |\n| 3 |"
    assert metadata["dagster/row_count"].value == 1


def test_definitions_import_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, json, seam_pipeline.definitions as d; d.defs.get_repository_def();"
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    environment = dict(os.environ, SEAM_HOME=str(tmp_path), SEAM_EXPERIMENT="paper")
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_an_unknown_experiment_is_one_sentence() -> None:
    with pytest.raises(SeamError, match="Experiment 'papre' is neither a file nor one of"):
        CliRunner().invoke(ui, ["-e", "papre"], catch_exceptions=False, standalone_mode=False)


def test_a_port_in_use_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    monkeypatch.setenv("SEAM_HOME", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        with pytest.raises(SeamError, match=f"Port {port} on 127.0.0.1 is in use; stop what runs there or give --port"):
            CliRunner().invoke(ui, ["-e", "smoke", "--port", port], catch_exceptions=False, standalone_mode=False)
