"""Trackers get what the metrics table gets."""

import importlib.util
import sys

import pyarrow.parquet as pq
import pytest

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import SFT
from seam_pipeline.training.sft import train_policy
from seam_pipeline.training.watch import watching
from seam_pipeline_tests.tiny import tiny_base

from .rows import sft_rows


def installed(package):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


@installed("tensorboard")
def test_tensorboard_holds_the_losses_of_the_table(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = SFT(batch_size=8, epochs=1, max_length=64)
    with watching(("tensorboard",), "study", "policy_model/pm01", tmp_path / "runs") as watch:
        base, rows = tiny_base(tmp_path / "base"), sft_rows(24)
        train_policy(base, rows, sft_rows(4, seed=1), 24, settings, tmp_path / "out", 1, watch=watch)
    events = EventAccumulator(str(tmp_path / "runs" / "tensorboard" / "study" / "policy_model" / "pm01"))
    events.Reload()
    table = pq.read_table(tmp_path / "out" / "metrics.parquet").to_pydict()
    assert [event.step for event in events.Scalars("loss")] == table["step"] == [1, 2, 3]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(table["loss"], rel=1e-5)


@installed("mlflow")
def test_mlflow(tmp_path, monkeypatch):
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with watching(("mlflow",), "study", "run", tmp_path) as watch:
        watch({"step": 1, "loss": 2.0, "note": None})
    assert mlflow.search_runs(experiment_names=["study"])["metrics.loss"].tolist() == [2.0]


@installed("wandb")
def test_wandb_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    with watching(("wandb",), "study", "run", tmp_path) as watch:
        watch({"step": 1, "loss": 2.0})
    assert list(tmp_path.rglob("*.wandb"))


def test_a_tracker_that_is_not_installed_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(SeamError, match=r"asks for wandb.*pip install wandb"), watching(("wandb",), "a", "b", tmp_path):
        pass


def test_without_trackers_nothing_is_written(tmp_path):
    with watching((), "a", "b", tmp_path) as watch:
        watch({"step": 1, "loss": 1.0})
    assert not list(tmp_path.iterdir())
