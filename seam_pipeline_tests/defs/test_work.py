"""What an update may start, and when: without Dagster."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

import seam_pipeline.defs._work as module
from seam_pipeline.defs._node import Inputs, Partition, Step
from seam_pipeline.defs._run import make
from seam_pipeline.defs._stale import Records, Task
from seam_pipeline.defs._study import Study
from seam_pipeline.defs._work import SHORT, Work
from seam_pipeline.experiment import load_experiment
from seam_pipeline.store import Store

from .side_by_side import study_of
from .toy import table


@pytest.fixture
def study() -> Study:
    return study_of(load_experiment("smoke"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def work_of(study: Study, store: Store, at_once: int = 2, **expected: float) -> Work:
    seconds = dict.fromkeys((f"{name} [pm0{rank}]" for name in ("policy", "score") for rank in (1, 2)), 1.0)
    seconds |= {"source": 1.0, "left": 1.0, "right": 1.0, "total": 1.0} | expected
    return Work(study, Records(store), set(study.nodes), at_once=at_once, expected=seconds)


def labels(batch: list[Task]) -> list[str]:
    return [task.label for task in batch]


def done(work: Work, study: Study, store: Store, batch: list[Task]) -> None:
    for task in batch:
        make(study, store, task.node, task.partition, lambda done, total: None)
    work.ended(batch, [task.label for task in batch])


def test_alone_a_batch_is_all_that_one_partition_needs(study: Study, store: Store) -> None:
    assert labels(work_of(study, store, at_once=1, left=99).next_batch()) == ["source", "left", "right"]


def test_short_artifacts_share_a_batch_and_long_ones_run_beside_each_other(study: Study, store: Store) -> None:
    work = work_of(study, store, right=SHORT + 1)
    first = work.next_batch()
    assert labels(first) == ["source", "left"]
    assert work.next_batch() == []  # right waits for source, which is being made
    done(work, study, store, first)
    # right alone has 6 seconds more to the end than policy, score and total together
    assert [labels(work.next_batch()) for _ in range(4)] == [["right"], ["policy [pm01]"], ["policy [pm02]"], []]


def test_what_the_longest_way_needs_comes_first(study: Study, store: Store) -> None:
    long = {"policy [pm02]": 50.0, "policy [pm01]": 20.0}
    work = work_of(study, store, left=SHORT, right=30.0, **long)
    done(work, study, store, work.next_batch())
    assert [labels(work.next_batch()) for _ in range(2)] == [["left"], ["right"]]
    work = work_of(study, store, left=SHORT, right=99.0, **long)
    assert [labels(work.next_batch()) for _ in range(2)] == [["right"], ["left"]]
    make(study, store, study.nodes["left"], Partition(), lambda done, total: None)
    work = work_of(study, store, right=9.0, **long)
    assert [labels(work.next_batch()) for _ in range(3)] == [["policy [pm02]"], ["policy [pm01]"], ["right"]]


def test_what_is_current_is_spared_and_unchanged_content_spares_what_is_below(study: Study, store: Store) -> None:
    for node in study.order:
        for partition in study.wanted(node):
            make(study, store, node, partition, lambda done, total: None)
    changed = {"left": replace(study.nodes["left"], version="2")}
    work = work_of(Study(study.experiment, study.nodes | changed), store)
    assert work.spared() == ["source", "right"]
    batch = work.next_batch()
    assert labels(batch) == ["left"]  # policies exist: whether they have to change is not known yet
    assert work.next_batch() == []
    done(work, work.study, store, batch)
    assert len(work.spared()) == 5  # the same content as before
    assert work.next_batch() == []


def test_what_a_batch_did_not_come_to_gets_another_turn(study: Study, store: Store) -> None:
    """A stale artifact fails; what is missing below it can be made of what there was, in its batch or not."""
    for name in ("source", "left", "right"):
        make(study, store, study.nodes[name], Partition(), lambda done, total: None)
    make(study, store, study.nodes["policy"], Partition(pm=1), lambda done, total: None)
    changed = {"policy": replace(study.nodes["policy"], version="2")}
    work = work_of(Study(study.experiment, study.nodes | changed), store)
    batch = work.next_batch()
    assert labels(batch) == ["policy [pm01]", "score [pm01]"]
    work.ended(batch, ["policy [pm01]"])
    assert ["score [pm01]"] in [labels(work.next_batch()) for _ in range(2)]


def test_what_needs_a_missing_one_that_failed_is_not_tried(study: Study, store: Store) -> None:
    work = work_of(study, store, at_once=1)
    batch = work.next_batch()
    work.ended(batch, ["source"])
    assert work.next_batch() == []
    assert work.blocked({"source": "x"})["policy [pm01]"] == "left"
    assert len(work.spared()) == 7


def test_one_step_at_a_time_asks_a_paid_model(study: Study, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "spends", lambda study, node: node.name in ("left", "right"))
    work = work_of(study, store, left=SHORT, right=SHORT)
    done(work, study, store, work.next_batch())
    paid = work.next_batch()
    assert labels(paid) == ["left"]
    assert work.next_batch() == []
    done(work, study, store, paid)
    assert "right" in [label for _ in range(3) for label in labels(work.next_batch())]


def test_the_turn_does_not_depend_on_rows_that_are_asked_again(study: Study, store: Store) -> None:
    def source(step: Step, _inputs: Inputs) -> pa.Table:
        step.notes["llm_rows_to_ask_again"] = 1
        return table(1)

    study.nodes["source"] = replace(study.nodes["source"], compute=source)
    work = work_of(study, store)
    done(work, study, store, work.next_batch())
    assert "source" not in [label for _ in range(5) for label in labels(work.next_batch())]  # once a run
