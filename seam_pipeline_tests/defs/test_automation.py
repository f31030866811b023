"""What automation asks for, on smoke's whole graph: a change, tick after tick, until nothing is asked for."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from seam_pipeline.defs._automation import automatic
from seam_pipeline.defs._definitions import build_definitions
from seam_pipeline.defs._node import Partition
from seam_pipeline.defs._pools import expensive, pool_of
from seam_pipeline.defs._stale import label_of, stale_tasks
from seam_pipeline.defs._study import Study
from seam_pipeline.experiment import Experiment, load_experiment
from seam_pipeline.store import Store

from .noop import experiment, make_all, make_one, noop_study

Made = Counter[str]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("finished")
    write(place / "posts.jsonl", "one\n")
    study = noop_study(experiment(place / "posts.jsonl"))
    make_all(study, Store(str(place / "store")))
    return place


def write(dump: Path, text: str, time: int = 0) -> None:
    dump.write_text(text)
    os.utime(dump, ns=(10**18, 10**18 + time))


@pytest.fixture
def place(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished study; the dump stays where it is, since its path is a setting."""
    shutil.copytree(finished / "store", tmp_path / "store")
    write(finished / "posts.jsonl", "one\n")
    return tmp_path


def ticks(study: Study, store: Store, patience: int = 1) -> Made:
    """Evaluate the conditions and make what they ask for, until so many ticks ask for nothing; counts per artifact."""
    definitions = build_definitions(study, store)
    made, quiet, cursor = Counter[str](), 0, None
    with dg.DagsterInstance.ephemeral() as instance:
        while quiet < patience:
            result = dg.evaluate_automation_conditions(definitions, instance, cursor=cursor)
            cursor = result.cursor
            asked = [
                (study.nodes[key.path[-1]], Partition.parse(where))
                for key in (dg.AssetKey([study.experiment.name, name]) for name in study.nodes)
                for where in sorted(result.get_requested_partitions(key), key=str)
            ]
            for node, partition in asked:
                make_one(study, store, node.name, partition)
                made[label_of(node.name, partition)] += 1
            quiet = 0 if asked else quiet + 1
    return made


def below(study: Study, roots: Callable[[str, Partition], bool]) -> set[str]:
    """Labels of the roots and of everything that reads them, partition by partition."""
    found: set[tuple[str, Partition]] = set()
    for node in study.order:
        for partition in study.wanted(node):
            inputs = [(dep, u) for dep in node.deps for u in study.upstream(node, partition, dep)]
            if roots(node.name, partition) or any(pair in found for pair in inputs):
                found.add((node.name, partition))
    return {label_of(name, partition) for name, partition in found}


def judged(name: str, _: Partition) -> bool:
    return name in ("policy_quality", "dpo_quality") or (
        name.startswith("rlhf_quality_") and not name.endswith("_by_policy")
    )


CHANGES: dict[str, tuple[dict[str, object], Callable[[str, Partition], bool]]] = {
    "another judge model": ({"judge__endpoint__model": "other"}, judged),
    "another filter rate": ({"selection__rate": 0.3}, lambda n, _: n.startswith("selected_") or n == "seamlessness"),
    "other PPO steps": ({"rl__ppo__steps": 3}, lambda n, _: n.startswith("rlhf_policy_")),
    "another rank's size": ({"policy__ranks__1": 7}, lambda n, p: (n, p.pm) == ("policy_model", 2)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_depends_on_a_change_is_rebuilt_once_and_nothing_else(change: str, finished: Path, place: Path) -> None:
    settings, roots = CHANGES[change]
    study, store = noop_study(experiment(finished / "posts.jsonl", **settings)), Store(str(place / "store"))
    wanted = below(study, roots)
    assert 0 < len(wanted) < sum(len(study.wanted(n)) for n in study.order)
    assert ticks(study, store) == Counter(wanted)
    assert stale_tasks(study, store, set(study.nodes)) == []


def test_a_new_code_version_rebuilds_what_reads_it(finished: Path, place: Path) -> None:
    study = noop_study(experiment(finished / "posts.jsonl"), {"reward_quality": "2"})
    assert ticks(study, Store(str(place / "store"))) == Counter(below(study, lambda n, _: n == "reward_quality"))


def test_a_new_dump_rebuilds_what_reads_it_and_a_touched_one_nothing(finished: Path, place: Path) -> None:
    dump, store = finished / "posts.jsonl", Store(str(place / "store"))
    study = noop_study(experiment(dump))
    assert ticks(study, store, patience=2) == Counter()
    write(dump, "one\n", time=1)
    assert ticks(study, store, patience=2) == Counter(["posts"])  # hashed anew; nothing below it
    write(dump, "one\ntwo\n", time=1)
    assert ticks(study, store, patience=2) == Counter(below(study, lambda n, _: n == "posts"))


def test_a_dump_that_is_still_growing_waits(finished: Path, place: Path) -> None:
    dump, store = finished / "posts.jsonl", Store(str(place / "store"))
    study = noop_study(experiment(dump))
    definitions, cursor = build_definitions(study, store), None
    asked = []
    with dg.DagsterInstance.ephemeral() as instance:
        for text in ("one\n", "one\nt", "one\ntwo\n", "one\ntwo\n"):
            write(dump, text, time=len(text))
            result = dg.evaluate_automation_conditions(definitions, instance, cursor=cursor)
            cursor = result.cursor
            asked.append(result.total_requested)
    assert asked == [0, 0, 0, 1]


def test_what_was_tried_with_the_same_recipe_is_left_to_people(finished: Path, place: Path) -> None:
    study = noop_study(experiment(finished / "posts.jsonl"), {"reward_quality": "2"})
    store = Store(str(place / "store"))
    assert automatic(study, store)["reward_quality"] == {Partition(rm=1), Partition(rm=2)}
    record = store.record("reward_quality", "rm01")
    assert record is not None
    recipe = study.recipe(study.nodes["reward_quality"], Partition(rm=1), dict(record.inputs))
    store.stage("reward_quality", "rm01", recipe)
    assert automatic(study, store)["reward_quality"] == {Partition(rm=2)}
    store.stage("reward_quality", "rm01", "an earlier recipe")
    assert automatic(study, store)["reward_quality"] == {Partition(rm=1), Partition(rm=2)}


def test_cheap_leaves_trainings_and_paid_requests_to_people(finished: Path, place: Path) -> None:
    changes: dict[str, object] = {"selection__rate": 0.3, "compute__automation": "cheap"}
    study, store = noop_study(experiment(finished / "posts.jsonl", **changes)), Store(str(place / "store"))
    made = ticks(study, store)
    methods = {name for name in study.nodes if name.startswith("selected_")}
    assert {label.split(" ")[0] for label in made} >= methods
    assert not [label for label in made if expensive(study, study.nodes[label.split(" ")[0]])]
    assert any(t.node.name.startswith("rlhf_policy_") for t in stale_tasks(study, store, set(study.nodes)))


def test_who_spends_and_which_pool_it_takes(finished: Path) -> None:
    study = noop_study(experiment(finished / "posts.jsonl"))
    assert expensive(study, study.nodes["llm_candidates"])
    assert pool_of(study, study.nodes["llm_candidates"]) == "llm"
    assert pool_of(study, study.nodes["policy_model"]) == "compute"
    assert pool_of(study, study.nodes["posts"]) is None
    cuda = noop_study(experiment(finished / "posts.jsonl", compute__device="cuda:0"))
    assert pool_of(cuda, cuda.nodes["policy_model"]) == "gpu"
    smoke = noop_study(load_experiment("smoke"))
    assert not expensive(smoke, smoke.nodes["llm_candidates"])


def test_nothing_is_asked_for_by_default(finished: Path, place: Path) -> None:
    changed: Experiment = experiment(finished / "posts.jsonl", compute__automation="off", selection__rate=0.3)
    study, store = noop_study(changed), Store(str(place / "store"))
    assert ticks(study, store) == Counter()
    assert all(
        not isinstance(s, dg.AutomationConditionSensorDefinition) for s in build_definitions(study, store).sensors or ()
    )
