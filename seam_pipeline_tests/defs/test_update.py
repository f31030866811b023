from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest

from seam_pipeline.defs._choice import choose
from seam_pipeline.defs._node import Inputs, Step
from seam_pipeline.defs._stale import stale_tasks
from seam_pipeline.defs._update import Display, Outcome, update
from seam_pipeline.store import Store

from .toy import table, toy_study, value


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def store(tmp_path: Path) -> Store:
    (tmp_path / "source.txt").write_text("1")
    return Store(str(tmp_path))


def run(store: Store, instance: dg.DagsterInstance, version: str = "1", seed: int = 0) -> Outcome:
    study = toy_study(store.root, version, seed)
    return update(study, store, set(study.nodes), instance, Display())


def test_everything_is_made_once(store: Store, instance: dg.DagsterInstance) -> None:
    first = run(store, instance)
    assert len(first.made) == 1 + 2 + 2 + 3 + 2 + 1
    # policies 2 and 3, rewards 20 and 30: cells 22, 23, 33
    assert value(store.load("cell", "pm02|rm01")) == 23
    assert value(store.load("total")) == 22 + 23 + 33
    assert run(store, instance).made == []
    assert stale_tasks(toy_study(store.root), store, {"total"}) == []


def test_a_changed_setting_of_one_rank_rebuilds_what_reads_it(store: Store, instance: dg.DagsterInstance) -> None:
    run(store, instance)
    made = run(store, instance, seed=5).made
    assert made == ["reward [rm02]"]  # its content is the same as before, so nothing below it is touched


def test_new_content_goes_all_the_way_and_equal_content_nowhere(store: Store, instance: dg.DagsterInstance) -> None:
    run(store, instance)
    (store.root / "source.txt").write_text("1.0")
    assert run(store, instance).made == ["source"]
    (store.root / "source.txt").write_text("2")
    assert len(run(store, instance).made) == 11


def test_a_new_code_version_rebuilds(store: Store, instance: dg.DagsterInstance) -> None:
    run(store, instance)
    assert run(store, instance, version="2").made == ["policy [pm01]", "policy [pm02]"]


def test_a_deleted_artifact_is_made_again(store: Store, instance: dg.DagsterInstance) -> None:
    run(store, instance)
    (store.path("cell", "pm02|rm02") / "record.json").unlink()
    assert [t.label for t in stale_tasks(toy_study(store.root), store, {"cell"})] == ["cell [pm02|rm02]"]
    assert run(store, instance).made == ["cell [pm02|rm02]"]


def test_a_refused_artifact_stops_what_is_below_it(store: Store, instance: dg.DagsterInstance) -> None:
    (store.root / "source.txt").write_text("-9")
    outcome = run(store, instance)
    assert outcome.failed == {"source": "check positive: -9.0 is negative"}
    assert "policy [pm01]" in outcome.blocked
    (store.root / "source.txt").write_text("1")
    assert run(store, instance).failed == {}


def test_a_failed_cell_does_not_stop_the_others(store: Store, instance: dg.DagsterInstance) -> None:
    study = toy_study(store.root)
    (store.root / "source.txt").write_text("1")
    update(study, store, {"source", "policy", "reward"}, instance, Display())
    out = store.stage("policy", "pm01", "x")
    from seam_pipeline.store import Record, write_payload

    from .toy import table

    old = store.record("policy", "pm01")
    assert old is not None
    write_payload(out, table(-1))
    record = Record("policy", "pm01", "smoke", "table", store.hash_staged("policy", "pm01"), old.recipe, old.inputs)
    store.commit(record)
    outcome = update(study, store, {"cell"}, instance, Display())
    assert list(outcome.failed) == ["cell [pm01|rm01]"]
    assert "a policy below zero" in outcome.failed["cell [pm01|rm01]"]
    assert set(outcome.made) == {"cell [pm02|rm01]", "cell [pm02|rm02]"}


def test_dagster_knows_the_versions(store: Store, instance: dg.DagsterInstance) -> None:
    run(store, instance)
    event = instance.get_latest_materialization_event(dg.AssetKey(["smoke", "total"]))
    assert event is not None
    assert event.asset_materialization is not None
    record = store.record("total")
    assert record is not None
    assert event.asset_materialization.tags is not None
    assert event.asset_materialization.tags["dagster/data_version"] == record.data_version


def test_rows_that_a_model_failed_on_are_asked_again_once_a_run(store: Store, instance: dg.DagsterInstance) -> None:
    study, failing = toy_study(store.root), [3, 1, 0, 0]

    def source(step: Step, _inputs: Inputs) -> pa.Table:
        if rows := failing.pop(0):
            step.notes["llm_rows_to_ask_again"] = rows
        return table(1)

    study.nodes["source"] = replace(study.nodes["source"], compute=source)
    assert len(update(study, store, set(study.nodes), instance, Display()).made) == 11
    assert [(t.label, t.why) for t in stale_tasks(study, store, {"source"})] == [("source", "3 rows to ask again")]
    for _ in range(2):
        assert update(study, store, set(study.nodes), instance, Display()).made == ["source"]
    assert stale_tasks(study, store, set(study.nodes)) == []
    assert failing == [0]


def test_what_failed_and_what_waits_for_it(store: Store, instance: dg.DagsterInstance) -> None:
    (store.root / "source.txt").write_text("nonsense")
    outcome = run(store, instance)
    assert list(outcome.failed) == ["source"]
    assert outcome.blocked["policy [pm02]"] == "source"
    assert outcome.blocked["reward [rm01]"] == "policy [pm01]"
    assert outcome.blocked["total"] == "row [pm01]"
    assert len(outcome.blocked) == 10


def test_one_cell_with_what_it_needs(store: Store, instance: dg.DagsterInstance) -> None:
    study = toy_study(store.root)
    chosen = choose(study, "+cell", ["pm02|rm01"])
    outcome = update(study, store, chosen, instance, Display())
    assert outcome.made == ["source", "policy [pm01]", "policy [pm02]", "reward [rm01]", "cell [pm02|rm01]"]
    assert outcome.blocked == {}
    alone = update(study, store, choose(study, "cell", ["rm02"]), instance, Display())
    assert (alone.made, alone.blocked) == ([], {"cell [pm02|rm02]": "reward [rm02]"})
