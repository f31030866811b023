"""What the testbed's base model is trained on: which settings decide its texts, and what makes it out of date."""

from pathlib import Path

import pytest

from seam_pipeline.defs._node import Partition
from seam_pipeline.defs._stale import stale_tasks
from seam_pipeline.defs.graph import build_study
from seam_pipeline.experiment import Experiment, Splits, TestbedData, load_experiment
from seam_pipeline.store import Store
from seam_pipeline.testbed import World

from .noop import experiment, make_all, noop_study

CHANGES: dict[str, object] = {
    "questions": 200,
    "topics": 9,
    "answers_per_question": 4,
    "vote_noise": 0.9,
    "seed": 1,
    "splits": Splits(segments={"sft": 0.5, "preference": 0.3, "rl": 0.2}, test=0.2, salt="other"),
}
DECIDING = {"topics", "seed"}


def on(base: Experiment, **changes: object) -> Experiment:
    """The experiment on smoke's testbed with other settings."""
    data = load_experiment("smoke").data.model_copy(update=changes)
    return base.model_copy(update={"data": data})


@pytest.mark.parametrize("name", CHANGES)
def test_the_recipe_changes_exactly_when_the_texts_do(name: str) -> None:
    assert set(CHANGES) == set(TestbedData.model_fields) - {"source"}
    same, other = (on(load_experiment("smoke"), **changes) for changes in ({}, {name: CHANGES[name]}))
    assert same.data != other.data
    texts, recipes = [], []
    for chosen in (same, other):
        assert isinstance(chosen.data, TestbedData)
        texts.append("\0".join(World(chosen.data).pretraining_texts()))
        study = build_study(chosen)
        assert study.nodes["base_model"].deps == ()
        recipes.append(study.recipe(study.nodes["base_model"], Partition(), {}))
    assert len(texts[0]) > 10_000
    assert (texts[0] != texts[1]) == (recipes[0] != recipes[1]) == (name in DECIDING)


def test_other_questions_and_splits_leave_the_base_alone(tmp_path: Path) -> None:
    store, plain = Store(str(tmp_path)), on(experiment(tmp_path))
    make_all(noop_study(plain), store)

    def stale(changed: Experiment) -> set[str]:
        study = noop_study(changed)
        return {task.node.name for task in stale_tasks(study, store, set(study.nodes))}

    assert stale(plain) == set()
    for name, value in CHANGES.items():
        found = stale(on(plain, **{name: value}))
        assert "policy_model" in found, name
        assert ("base_model" in found) == (name in DECIDING), name


def test_a_base_trained_on_posts_reads_them(tmp_path: Path) -> None:
    assert build_study(experiment(tmp_path)).nodes["base_model"].deps == ("sft_data",)
