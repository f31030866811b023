"""Sensors, the schedule, and the job that brings everything up to date."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import seam_pipeline.defs._sensors as sensors
from seam_pipeline.defs._definitions import build_definitions
from seam_pipeline.defs._node import Partition
from seam_pipeline.defs._stale import stale_tasks
from seam_pipeline.defs.graph import build_study
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Experiment, load_experiment
from seam_pipeline.store import Store

from .noop import experiment, make_one, noop_study
from .toy import toy_study, value


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


class Looks:
    """A sensor over its looks: what each asked for, or why it asked for nothing."""

    def __init__(self, chosen: Experiment, store: Store, name: str = "posts") -> None:
        self.chosen, self.store, self.name = chosen, store, name
        self.cursor: str | None = None

    def look(self) -> Any:
        found = sensors.look(noop_study(self.chosen), self.store, self.name, self.cursor)
        self.cursor = found.cursor
        if found.run_requests:
            request = found.run_requests[0]
            keys = [key.path[-1] for key in request.asset_selection or ()]
            return (request.job_name, *keys)
        return str(found.skip_reason.skip_message if hasattr(found.skip_reason, "skip_message") else found.skip_reason)


def test_a_dump_is_noticed_once_it_is_whole(tmp_path: Path) -> None:
    dump, store = tmp_path / "posts.jsonl", Store(str(tmp_path / "store"))
    dump.write_text("one\n")
    chosen = experiment(dump)
    make_one(noop_study(chosen), store, "posts", Partition())
    looks = Looks(chosen, store)
    assert "one more look" in looks.look()
    assert "content is the same" in looks.look()
    assert looks.look() == "nothing has changed"
    dump.write_text("one\nt")
    assert "one more look" in looks.look()
    dump.write_text("one\ntwo\n")
    assert "one more look" in looks.look()
    assert looks.look() == ("look_outside", "posts")
    again = Looks(chosen, store)
    again.cursor = looks.cursor  # as after a restart of the daemon
    assert again.look() == "nothing has changed"


def test_a_touched_dump_is_no_change_unless_it_is_too_long_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    dump, store = tmp_path / "posts.jsonl", Store(str(tmp_path / "store"))
    dump.write_text("one\n")
    chosen = experiment(dump)
    make_one(noop_study(chosen), store, "posts", Partition())
    looks = Looks(chosen, store)
    looks.look(), looks.look()
    os.utime(dump, (1, 1))
    assert "one more look" in looks.look()
    assert "content is the same" in looks.look()
    os.utime(dump, (2, 2))
    monkeypatch.setattr(sensors, "READ_AT_MOST", 3)
    looks.look()
    assert looks.look() == ("look_outside", "posts")


def test_without_automation_the_whole_update_runs(tmp_path: Path) -> None:
    (tmp_path / "posts.jsonl").write_text("one\n")
    looks = Looks(experiment(tmp_path / "posts.jsonl", compute__automation="off"), Store(str(tmp_path / "store")))
    looks.look()
    assert looks.look() == ("update",)


def test_a_changed_local_base_model_is_noticed_and_a_copy_is_not(tmp_path: Path) -> None:
    model, store = tmp_path / "base", Store(str(tmp_path / "store"))
    model.mkdir()
    (model / "model.safetensors").write_text("weights")
    (tmp_path / "posts.jsonl").write_text("one\n")
    chosen = experiment(tmp_path / "posts.jsonl", base={"path": str(model)})
    study = noop_study(chosen)
    make_one(study, store, "base_model", Partition())
    assert not any(t.node.name == "base_model" for t in stale_tasks(study, store, {"base_model"}))
    looks = Looks(chosen, store, "base_model")
    looks.look(), looks.look()
    (model / "model.safetensors").write_text("weights")
    assert [looks.look(), looks.look()][1].endswith("content is the same")
    (model / "model.safetensors").write_text("others!")
    looks.look()
    assert looks.look() == ("look_outside", "base_model")
    assert [t.why for t in stale_tasks(study, store, {"base_model"})] == ["settings or code"]


def test_a_base_model_of_the_hub_has_no_sensor(tmp_path: Path) -> None:
    (tmp_path / "posts.jsonl").write_text("one\n")
    study = noop_study(experiment(tmp_path / "posts.jsonl", base={"path": "owner/name"}))
    found = build_definitions(study, Store(str(tmp_path))).sensors or ()
    assert {s.name for s in found} == {"changed_posts", "automation"}


def test_the_testbed_reads_nothing_outside(tmp_path: Path) -> None:
    """Its sensor had no files to look at and failed at every look."""
    assert not build_definitions(build_study(load_experiment("smoke")), Store(str(tmp_path))).sensors


def test_the_update_job_makes_everything_and_says_what_failed(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    (tmp_path / "source.txt").write_text("1")
    store = Store(str(tmp_path))
    study = toy_study(tmp_path)
    job = build_definitions(study, store).resolve_job_def("update")
    assert job.execute_in_process(instance=instance).success
    assert value(store.load("total")) == 22 + 23 + 33
    assert job.tags["seam/update"] == "smoke"
    (tmp_path / "source.txt").write_text("-9")
    failed = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not failed.success
    assert "check positive: -9.0 is negative" in str(failed.all_node_events[-1].event_specific_data)


@pytest.mark.parametrize(
    ("cron", "running", "expression"), [(None, False, "@weekly"), ("0 3 * * 1", True, "0 3 * * 1")]
)
def test_the_schedule_is_off_unless_it_is_set(tmp_path: Path, cron: str | None, running: bool, expression: str) -> None:
    (tmp_path / "posts.jsonl").write_text("one\n")
    study = noop_study(experiment(tmp_path / "posts.jsonl", compute__schedule=cron))
    schedule = build_definitions(study, Store(str(tmp_path))).get_schedule_def("regular_update")
    assert schedule.cron_schedule == (cron or "@weekly")
    assert (schedule.default_status is dg.DefaultScheduleStatus.RUNNING) is running
    assert schedule.job_name == "look_outside"


def test_a_wrong_schedule_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "posts.jsonl").write_text("one\n")
    study = noop_study(experiment(tmp_path / "posts.jsonl", compute__schedule="61 3 * * 1"))
    with pytest.raises(SeamError, match="compute.schedule: '61 3 \\* \\* 1' is no cron expression"):
        build_definitions(study, Store(str(tmp_path)))
