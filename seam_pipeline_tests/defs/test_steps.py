"""A step of Dagster: made, current, made again, retried, and two at once."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

import seam_pipeline.defs._retry as retry
from seam_pipeline.defs._assets import AGAIN
from seam_pipeline.defs._definitions import build_definitions
from seam_pipeline.defs._node import Inputs, Step
from seam_pipeline.defs._retry import can_pass
from seam_pipeline.defs._study import Study
from seam_pipeline.defs._update import Display, update
from seam_pipeline.errors import SeamError
from seam_pipeline.store import Store

from .toy import table, toy_study


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "source.txt").write_text("1")
    return Store(str(tmp_path))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def counted(root: Path, errors: list[Exception], retries: int = 0) -> tuple[Study, list[str]]:
    """The toy study; `source` raises these errors first and then works, and every call is counted."""
    study, calls = toy_study(root), []
    compute = study.experiment.compute.model_copy(update={"retries": retries})

    def source(_step: Step, _inputs: Inputs) -> object:
        calls.append("source")
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        return table(1)

    nodes = study.nodes | {"source": replace(study.nodes["source"], compute=source)}
    return Study(study.experiment.model_copy(update={"compute": compute}), nodes), calls


def click(study: Study, store: Store, instance: dg.DagsterInstance, again: bool = False) -> dg.ExecuteInProcessResult:
    job = build_definitions(study, store).resolve_implicit_global_asset_job_def()
    key = dg.AssetKey([study.experiment.name, "source"])
    tags = {AGAIN: "true"} if again else {}
    return job.execute_in_process(instance=instance, asset_selection=[key], tags=tags, raise_on_error=False)


def test_a_current_artifact_is_reported_without_computing(store: Store, instance: dg.DagsterInstance) -> None:
    study, calls = counted(store.root, [])
    first = click(study, store, instance).asset_materializations_for_node("smoke__source")[0]
    second = click(study, store, instance).asset_materializations_for_node("smoke__source")[0]
    assert len(calls) == 1
    assert first.tags is not None
    assert second.tags is not None
    assert first.tags["dagster/data_version"] == second.tags["dagster/data_version"]
    assert second.metadata["dagster/row_count"].value == 1  # previews stay


def test_the_tag_makes_it_again(store: Store, instance: dg.DagsterInstance) -> None:
    study, calls = counted(store.root, [])
    click(study, store, instance)
    assert click(study, store, instance, again=True).success
    assert len(calls) == 2
    made = update(study, store, {"source"}, instance, Display(), anew=True).made
    assert made == ["source"]
    assert len(calls) == 3


def test_an_error_that_can_pass_is_tried_again(
    store: Store, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    study, calls = counted(store.root, [ConnectionResetError("gone"), TimeoutError("late")], retries=2)
    assert update(study, store, set(study.nodes), instance, Display()).failed == {}
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("error", "retries"), [(ConnectionResetError("gone"), 0), (SeamError("no"), 5), (ValueError("bug"), 5)]
)
def test_other_errors_are_not(store: Store, instance: dg.DagsterInstance, error: Exception, retries: int) -> None:
    study, calls = counted(store.root, [error] * 9, retries)
    outcome = update(study, store, {"source"}, instance, Display())
    assert len(calls) == 1
    assert str(error) in outcome.failed["source"]


def test_retries_run_out(store: Store, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    study, calls = counted(store.root, [OSError("disk")] * 9, retries=2)
    assert "disk" in update(study, store, {"source"}, instance, Display()).failed["source"]
    assert len(calls) == 3


def test_waits_double_up_to_a_limit() -> None:
    waits = [retry.again(OSError(), 9, done) for done in range(9)]
    assert [w.seconds_to_wait for w in waits if w] == [10, 20, 40, 80, 160, 320, 600, 600, 600]
    assert retry.again(OSError(), 2, 2) is None
    assert not can_pass(FileNotFoundError())
    assert not can_pass(PermissionError())


def test_automation_schedule_and_retries_are_no_part_of_a_recipe() -> None:
    experiment = toy_study(Path()).experiment
    other = {"automation": "all", "schedule": "@daily", "retries": 3}
    changed = experiment.model_copy(update={"compute": experiment.compute.model_copy(update=other)})
    from seam_pipeline.defs.graph import build_study

    one, two = build_study(experiment), build_study(changed)
    for node in one.order:
        for partition in one.wanted(node):
            assert one.settings(node, partition) == two.settings(two.nodes[node.name], partition)


def _hold(root: str, ready: object) -> None:
    with Store(root).lock("source"):
        ready.set()  # type: ignore[attr-defined]
        time.sleep(60)


def test_two_processes_at_one_artifact(store: Store, instance: dg.DagsterInstance) -> None:
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Event()
    other = spawn.Process(target=_hold, args=(str(store.root), ready))
    other.start()
    assert ready.wait(30)
    holder = f"source is being made by process {other.pid} on "
    with pytest.raises(SeamError, match=holder) as refused, store.lock("source", patience=0):
        pass
    assert str(refused.value).count(".") == 1
    with store.lock("source", "pm01", patience=0):  # another partition is free
        pass
    assert other.pid is not None
    os.kill(other.pid, signal.SIGKILL)
    other.join()
    study, calls = counted(store.root, [])
    assert click(study, store, instance).success  # the lock of a killed process is free
    assert len(calls) == 1


def test_the_second_of_two_threads_waits_for_the_first(store: Store) -> None:
    from concurrent.futures import ThreadPoolExecutor

    order: list[str] = []

    def second() -> None:
        with store.lock("source", patience=10):
            order.append("second")

    with ThreadPoolExecutor(1) as pool:
        with store.lock("source"):
            waiting = pool.submit(second)
            time.sleep(0.2)
            order.append("first")
        waiting.result()
    assert order == ["first", "second"]
