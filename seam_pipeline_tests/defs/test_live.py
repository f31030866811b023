"""What a running step shows: progress and a training's metrics, seldom, and the same wherever it trains."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from seam_pipeline.defs import _live
from seam_pipeline.defs._job import SETTINGS
from seam_pipeline.defs._live import CURVES, Live
from seam_pipeline.defs._update import Display, update
from seam_pipeline.defs.graph import build_study
from seam_pipeline.experiment import Compute, load_experiment
from seam_pipeline.store import Store

Seen = list[Mapping[str, Any]]


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_live, "time", clock)
    return clock


def observations(instance: dg.DagsterInstance, key: dg.AssetKey) -> Iterator[dg.AssetObservation]:
    for record in reversed(instance.fetch_observations(key, limit=100).records):
        assert record.asset_observation is not None
        yield record.asset_observation


def shown(work: Callable[[Live], None]) -> tuple[Seen, list[str]]:
    """Metadata of the observations of a step that does `work`, and the lines of its log."""

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["pm01"]))
    def step(context: dg.AssetExecutionContext) -> None:
        work(Live(context))

    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([step], instance=instance, partition_key="pm01")
        found = list(observations(instance, step.key))
        logged = [e.user_message for e in instance.all_logs(done.run_id) if e.level == 20 and not e.is_dagster_event]
    assert {o.partition for o in found} <= {"pm01"}
    return [{name: value.value for name, value in o.metadata.items()} for o in found], logged


def test_a_step_that_trains_nothing_shows_its_progress(clock: Clock) -> None:
    def work(live: Live) -> None:
        for done in range(5):
            live.progress(done, 4)
            clock.now += 30

    seen, logged = shown(work)
    assert seen == [
        {"percent": 50.0, "step": "2 of 4", "seconds_left": 60},
        {"percent": 100.0, "step": "4 of 4", "seconds_left": 0},
    ]
    assert logged[0] == "1 of 4, about 90 s left"


def test_what_goes_on_from_half_way_knows_its_own_speed(clock: Clock) -> None:
    def work(live: Live) -> None:
        for done in (50, 51, 52):
            live.progress(done, 100)
            clock.now += 60

    assert [row["seconds_left"] for row in shown(work)[0]] == [49 * 60, 48 * 60]


def train(live: Live, clock: Clock, steps: int, seconds: float, part: str = "seed0") -> None:
    with live.training("ppo", part) as watch:
        for step in range(1, steps + 1):
            clock.now += seconds
            live.progress(step, steps)
            watch({"step": step, "reward_mean": step / 2, "kl": float("nan"), "grad_norm": 9.0, "gold_mean": None})


def test_a_training_shows_its_curves_once_a_minute_and_at_its_end(clock: Clock) -> None:
    seen, logged = shown(lambda live: train(live, clock, 25, 10.0))
    assert [(row["step"], row["reward_mean"]) for row in seen] == [
        ("6 of 25", 2.5), ("12 of 25", 5.5), ("18 of 25", 8.5), ("24 of 25", 11.5), ("25 of 25", 12.5),
    ]  # fmt: skip
    assert set(seen[0]) == {"training", "reward_mean", "percent", "step", "seconds_left"}
    assert seen[0]["training"] == "seed0"
    assert "step 1: reward_mean 0.5, grad_norm 9" in logged


def test_a_short_training_shows_nothing_and_many_short_ones_one_a_minute(clock: Clock) -> None:
    assert shown(lambda live: train(live, clock, 59, 1.0))[0] == []

    def work(live: Live) -> None:
        for seed in range(6):
            train(live, clock, 10, 4.0, f"seed{seed}")
        live.progress(1, 1)

    seen = shown(work)[0]
    assert len(seen) == 4  # 240 seconds
    assert {row["training"] for row in seen} == {"seed1", "seed2", "seed4", "seed5"}


def test_every_kind_of_training_has_curves() -> None:
    assert set(CURVES) == {"base", *SETTINGS}


def trained(place: Path, launched: bool) -> Seen:
    more: dict[str, Any] = {"launcher": "accelerate", "processes": 1} if launched else {}
    chosen = load_experiment("smoke").model_copy(update={"compute": Compute(device="cpu", threads=1, **more)})
    study, key = build_study(chosen), dg.AssetKey(["smoke", "policy_model"])
    names = {"posts", "question_answers", "sft_data", "base_model", "policy_model"}
    with dg.DagsterInstance.ephemeral() as instance:
        assert update(study, Store(str(place)), names, instance, Display()).failed == {}
        found = [o for o in observations(instance, key) if o.partition == "pm01"]
        bases = [o.metadata for o in observations(instance, dg.AssetKey(["smoke", "base_model"]))]
    assert launched or all("loss" in metadata for metadata in bases[1:])
    return [{name: value.value for name, value in o.metadata.items()} for o in found]


def test_a_training_of_its_own_processes_shows_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_live, "OBSERVATIONS", 0.0)
    here = trained(tmp_path / "here" / "smoke", launched=False)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    shutil.rmtree(tmp_path / "there/smoke/policy_model")
    there = trained(tmp_path / "there" / "smoke", launched=True)

    def curve(seen: Seen) -> list[float]:
        return list(dict.fromkeys(row["loss"] for row in seen if "loss" in row))

    assert len(curve(here)) == 3
    assert curve(there) == curve(here)
    assert {"mean_token_accuracy", "percent", "step"} <= set(there[-1])
