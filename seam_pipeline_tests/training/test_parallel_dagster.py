"""Trainings that a Dagster step starts in processes of their own: same artifact, heard while it runs, one sentence."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml
from safetensors.torch import load_file

from seam_pipeline.defs._launch import _failure, command_of, cores
from seam_pipeline.defs._run import threads_of
from seam_pipeline.defs._update import Display, Outcome, update
from seam_pipeline.defs.graph import build_study
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Compute, Experiment, load_experiment
from seam_pipeline.store import Store

UPSTREAM = {"posts", "question_answers", "sft_data", "base_model"}


class Heard(Display):
    def __init__(self) -> None:
        self.steps: list[tuple[str, int, int]] = []

    def step(self, label: str, done: int, total: int) -> None:
        self.steps.append((label, done, total))


def experiment(compute: Compute, rate: float = 2e-3) -> Experiment:
    smoke = load_experiment("smoke")
    dry = smoke.policy.sft.lora.model_copy(update={"dropout": 0.0})  # its masks differ among processes
    sft = smoke.policy.sft.model_copy(update={"learning_rate": rate, "lora": dry})
    policy = smoke.policy.model_copy(update={"sft": sft})
    return smoke.model_copy(update={"compute": compute, "policy": policy})


def run(place: Path, chosen: Experiment, names: set[str], instance: dg.DagsterInstance, heard: Heard) -> Outcome:
    return update(build_study(chosen), Store(str(place)), names, instance, heard)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("stores") / "smoke"
    with dg.DagsterInstance.ephemeral() as instance:
        plain = experiment(Compute(device="cpu", threads=1))
        assert run(place, plain, {*UPSTREAM, "policy_model"}, instance, Heard()).failed == {}
    return place


@pytest.mark.parametrize(
    ("processes", "fsdp"), [(1, False), *(pytest.param(2, fsdp, marks=pytest.mark.slow) for fsdp in (False, True))]
)
def test_a_launched_training_makes_the_same_artifact(trained: Path, tmp_path: Path, processes: int, fsdp: bool) -> None:
    shutil.copytree(trained, tmp_path / "store")
    shutil.rmtree(tmp_path / "store/policy_model")
    chosen = experiment(Compute(device="cpu", threads=1, launcher="accelerate", processes=processes, fsdp=fsdp))
    heard = Heard()
    with dg.DagsterInstance.ephemeral() as instance:
        outcome = run(tmp_path / "store", chosen, {*UPSTREAM, "policy_model"}, instance, heard)
        logged = [e.user_message for r in instance.get_runs() for e in instance.all_logs(r.run_id)]
    assert (outcome.made, outcome.failed) == (["policy_model [pm01]", "policy_model [pm02]"], {})
    assert ("policy_model [pm01]", 3, 3) in heard.steps
    assert any(line.startswith("training in processes of its own") for line in logged)
    assert any(line.startswith("step 1: loss ") for line in logged)
    one, other = Store(str(trained)), Store(str(tmp_path / "store"))
    if processes == 1:
        assert other.record("policy_model", "pm01") is not None
        assert other.record("policy_model", "pm01").data_version == one.record("policy_model", "pm01").data_version
    file = "model/adapters/00_sft/adapter_model.safetensors"
    ours, theirs = (load_file(store.path("policy_model", "pm01") / file) for store in (one, other))
    assert all((value - theirs[name]).abs().max() < 1e-5 for name, value in ours.items())
    assert not list((tmp_path / "store/jobs").iterdir())


@pytest.mark.slow
def test_dagsters_multiprocess_executor_makes_the_same_bytes(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "smoke")
    chosen = experiment(Compute(device="cpu", threads=1, concurrent_steps=2))
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(chosen.model_dump(mode="json")))
    places = {"SEAM_HOME": str(tmp_path), "SEAM_STORE": str(tmp_path), "DAGSTER_HOME": str(tmp_path)}
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    command = ["-m", "dagster", "asset", "materialize", "-m", "seam_pipeline.definitions"]
    chosen_asset = ["--select", 'key:"smoke/policy_model"', "--partition", "pm01"]
    environment = dict(os.environ, SEAM_EXPERIMENT=str(tmp_path / "two.yaml"), **places)
    done = subprocess.run(
        [sys.executable, *command, *chosen_asset],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert 'Launching subprocess for "smoke__policy_model"' in done.stderr + done.stdout
    made, before = (Store(str(place)).record("policy_model", "pm01") for place in (tmp_path / "smoke", trained))
    assert made is not None
    assert before is not None
    assert (made.data_version, made.recipe) == (before.data_version, before.recipe)
    assert made.seconds != before.seconds


@pytest.mark.slow
def test_a_failing_worker_is_the_sentence_of_the_training(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "store")
    wild = experiment(Compute(device="cpu", threads=1, launcher="accelerate", processes=1), rate=1e38)
    with dg.DagsterInstance.ephemeral() as instance:
        outcome = run(tmp_path / "store", wild, {*UPSTREAM, "policy_model"}, instance, Heard())
    reason = outcome.failed["policy_model [pm01]"]
    assert reason.startswith("The loss is nan")
    assert reason.endswith("lower the learning rate.")
    assert (tmp_path / "store/jobs/policy_model.pm01/log.txt").is_file()


def test_processes_that_die_without_a_sentence_are_told_by_their_log(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("loading\nOutOfMemoryError: no room\nChildFailedError: one failed\n")
    text = str(_failure(tmp_path, "sft", "code 1"))
    assert text.startswith("The sft training's processes ended without an outcome (code 1: OutOfMemoryError: no room)")
    (tmp_path / "error.10").write_text("later")
    (tmp_path / "error.2").write_text("The disk is full.")
    assert str(_failure(tmp_path, "sft", "code 1")) == "The disk is full."


def test_a_worker_ends_with_the_process_that_waits_for_it() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    text = f"from seam_pipeline.defs._worker import _end_without; import time; _end_without({_at(gone.pid)}); "
    assert subprocess.run([sys.executable, "-c", text + "time.sleep(20)"], check=False).returncode == 3
    assert subprocess.run([sys.executable, "-c", text.replace(str(gone.pid), str(os.getpid()))]).returncode == 0


def _at(process: int) -> tuple[str, int]:
    return socket.gethostname(), process


def test_the_cores_are_divided_among_all_that_works_at_once() -> None:
    def threads(launched: bool = False, **compute) -> int:
        return threads_of(Compute(**compute), "cpu", launched)

    assert threads() == cores()
    assert threads(concurrent_steps=2) == max(1, cores() // 2)
    two = dict(launcher="accelerate", processes=2)
    assert (threads(**two), threads(launched=True, **two)) == (cores(), max(1, cores() // 2))
    assert threads(launched=True, concurrent_steps=4096, **two) == 1
    assert threads(launched=True, threads=3, **two) == 3


def test_each_kind_of_machine_has_its_command(tmp_path: Path) -> None:
    def command(device: str, **more) -> str:
        return " ".join(command_of(Compute(launcher="accelerate", **more), device, Path("job.json"))[1:])

    worker = "-m seam_pipeline.defs._worker job.json"
    assert "torch.distributed.run --nproc-per-node 2" in command("cpu", processes=2)
    assert "accelerate.commands.launch --multi_gpu --num_processes 4" in command("cuda", processes=4)
    assert command("cuda", processes=4).endswith(worker)
    config = tmp_path / "machines.yaml"
    config.write_text("")
    assert (
        command("cuda", accelerate_config=str(config))
        == f"-m accelerate.commands.launch --config_file {config} {worker}"
    )
    with pytest.raises(SeamError, match="accelerate_config: .* is not there"):
        command("cuda", accelerate_config="none.yaml")
