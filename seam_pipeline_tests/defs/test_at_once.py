"""Several batches at once in worker processes: the outcome of one after the other, whatever fails or is killed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest

import seam_pipeline.defs._work as work
from seam_pipeline.defs._instance import open_instance
from seam_pipeline.defs._stale import Task, label_of, stale_tasks
from seam_pipeline.defs._study import Study
from seam_pipeline.defs._update import Display, Outcome, update
from seam_pipeline.defs._workers import Workers
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import load_experiment
from seam_pipeline.store import Store

from ..same_bits import needs_same_bits
from .side_by_side import NAME, study_of

BUILDER = "seam_pipeline_tests.defs.side_by_side:study_of"
ALL = 3 + 2 + 2 + 1


class Heard(Display):
    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.steps: list[tuple[str, int, int]] = []
        self.finished: list[str] = []

    def planned(self, tasks: list[Task]) -> None:
        self.batches.append([task.label for task in tasks])

    def step(self, label: str, done: int, total: int) -> None:
        self.steps.append((label, done, total))

    def made(self, label: str, seconds: float) -> None:
        self.finished.append(label)


@pytest.fixture(scope="module")
def study() -> Study:
    return study_of(load_experiment("smoke"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"), experiment=NAME)


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    with open_instance() as instance:
        yield instance


def run(
    study: Study, store: Store, instance: dg.DagsterInstance, heard: Display, anew: bool = False, **crew: object
) -> Outcome:
    """Two at once, every artifact in a Dagster run of its own."""
    store.root.mkdir(exist_ok=True)
    expected = {task.label: work.SHORT for task in stale_tasks(study, store, set(study.nodes), anew)}
    workers = Workers(study, store, instance, heard, 2, **{"builder": BUILDER, **crew})
    return update(study, store, set(study.nodes), instance, heard, anew, workers, expected)


def versions(study: Study, store: Store) -> dict[str, str]:
    found = {}
    for node in study.order:
        for partition in study.wanted(node):
            record = store.record(node.name, partition.key)
            if record is not None:
                found[label_of(node.name, partition)] = record.data_version
    return found


def calls(store: Store) -> Counter[str]:
    return Counter((store.root / "calls.txt").read_text().splitlines())


def test_two_at_once_make_what_one_makes_and_nothing_twice(
    study: Study, store: Store, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    store.root.mkdir()
    (store.root / "meet").touch()  # one after the other, `left` would wait for `right` until it fails
    heard = Heard()
    outcome = run(study, store, instance, heard)
    assert (outcome.failed, outcome.blocked) == ({}, {})
    assert sorted(outcome.made) == sorted(versions(study, store)) == sorted(heard.finished)
    assert set(calls(store).values()) == {1}
    assert len(calls(store)) == len(heard.batches) == ALL
    alone = Store(str(tmp_path / "alone"))
    alone.root.mkdir()
    update(study, alone, set(study.nodes), instance, Heard())
    assert versions(study, alone) == versions(study, store)
    # the same Dagster instance: runs and data versions are there
    assert all(run.status == dg.DagsterRunStatus.SUCCESS for run in instance.get_runs())
    event = instance.get_latest_materialization_event(dg.AssetKey([NAME, "total"]))
    assert event is not None
    assert event.asset_materialization is not None
    assert (event.asset_materialization.tags or {})["dagster/data_version"] == versions(study, store)["total"]


@pytest.mark.slow
def test_what_fails_and_what_is_killed_stop_only_what_is_below(
    study: Study, store: Store, instance: dg.DagsterInstance
) -> None:
    store.root.mkdir()
    (store.root / "fail pm02").touch()
    told = store.root / "hang policy pm01"
    told.touch()
    threading.Thread(target=lambda: os.kill(at(told), signal.SIGKILL), daemon=True).start()
    heard = Heard()
    outcome = run(study, store, instance, heard)
    assert set(outcome.failed) == {"policy [pm01]", "score [pm02]"}
    assert "told to fail" in outcome.failed["score [pm02]"]
    assert outcome.failed["policy [pm01]"].startswith("its worker process was killed by signal 9")
    assert outcome.blocked == {"score [pm01]": "policy [pm01]", "total": "score [pm01]"}
    assert sorted(outcome.made) == ["left", "policy [pm02]", "right", "source"]
    assert ("policy [pm01]", 0, 0) in heard.steps
    assert [run.status.value for run in instance.get_runs()].count("FAILURE") == 2  # none for ever in progress
    assert (store.path("policy", "pm01").parent / ".pm01.partial" / "checkpoint").exists()
    (store.root / "fail pm02").unlink()
    again = run(study, store, instance, heard)
    assert sorted(again.made) == ["policy [pm01]", "score [pm01]", "score [pm02]", "total"]
    assert calls(store)["policy pm02"] == 1
    assert run(study, store, instance, heard, anew=True).made.count("policy [pm02]") == 1
    assert calls(store)["policy pm02"] == 2


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_no_process_is_left(store: Store, instance: dg.DagsterInstance, how: signal.Signals) -> None:
    store.root.mkdir()
    told = [store.root / f"hang policy pm0{rank}" for rank in (1, 2)]
    for file in told:
        file.touch()
    text = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from seam_pipeline_tests.defs import test_at_once as t\n"
        f"store = t.Store({str(store.root)!r}, experiment={NAME!r})\n"
        "with t.open_instance() as instance:\n"
        "    t.run(t.study_of(t.load_experiment('smoke')), store, instance, t.Heard())\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", text], stderr=subprocess.PIPE, text=True)
    workers = [psutil.Process(at(file)) for file in told]
    assert len({worker.pid for worker in workers} - {parent.pid}) == 2
    started = time.monotonic()
    parent.send_signal(how)
    _, errors = parent.communicate(timeout=30)
    gone, left = psutil.wait_procs(workers, timeout=10)
    assert (len(gone), left) == (2, [])
    assert time.monotonic() - started < 15
    if how == signal.SIGINT:
        assert errors.rstrip().endswith("KeyboardInterrupt")
        assert errors.count("Traceback") == 1  # the parent's, which `seam` says in a sentence
    with store.lock("policy", "pm01", patience=0):
        assert (store.path("policy", "pm01").parent / ".pm01.partial" / "checkpoint").exists()


@pytest.mark.slow
@needs_same_bits
def test_a_whole_study_made_by_three_is_to_the_bit_the_one_made_by_one(tmp_path: Path) -> None:
    made = []
    for at_once in ("1", "3"):
        surroundings = {**os.environ, "SEAM_HOME": str(tmp_path / at_once)}
        seam = str(Path(sys.executable).with_name("seam"))
        command = [seam, "run", "-e", "smoke", "--at-once", at_once]
        subprocess.run(command, env=surroundings, check=True, cwd=tmp_path, capture_output=True)
        artifacts = tmp_path / at_once / "data" / "artifacts" / "smoke"
        files = [p for p in artifacts.rglob("*") if p.is_file() and p.name != "record.json"]
        visible = {p: str(p.relative_to(artifacts)) for p in files if p.relative_to(artifacts).parts[0][0] != "."}
        made.append({name: p.read_bytes() for p, name in visible.items() if not name.startswith("cache")})
    assert len(made[0]) > 500
    assert made[0].keys() == made[1].keys()
    assert [name for name in made[0] if made[0][name] != made[1][name]] == []


def test_workers_that_cannot_start_are_one_sentence(
    study: Study, store: Store, instance: dg.DagsterInstance, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SeamError, match=r"could not start \(exit status 1\)"):
        run(study, store, instance, Heard(), builder="seam_pipeline.defs.graph:no_such_function")
    assert "no_such_function" in capfd.readouterr().err


def at(file: Path) -> int:
    """The process that the file names, once it does."""
    for _ in range(600):
        if file.read_text():
            return int(file.read_text())
        time.sleep(0.1)
    raise TimeoutError(file)
