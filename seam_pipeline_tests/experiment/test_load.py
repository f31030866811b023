from pathlib import Path

import pytest

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Experiment, fingerprint, load_experiment, parse_experiment, shipped

SMOKE = Path(__file__).parents[2] / "seam_pipeline" / "experiment" / "shipped" / "smoke.yaml"


def changed(old: str, new: str) -> str:
    text = SMOKE.read_text()
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize("name", ["smoke", "testbed", "stackexchange", "paper"])
def test_the_shipped_experiments_are_valid(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEAM_DATA", str(tmp_path))
    assert name in shipped()
    assert load_experiment(name).name == name


def test_the_environment_chooses_and_the_argument_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAM_EXPERIMENT", "smoke")
    assert load_experiment().name == "smoke"
    assert load_experiment("testbed").name == "testbed"


def test_the_testbed_meets_its_promise() -> None:
    testbed = load_experiment("testbed")
    assert len(testbed.policy.ranks) >= 4
    assert len(testbed.reward.ranks) >= 4
    assert all(len(testbed.runs[m][(1, 1)]) >= 2 for m in testbed.methods)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("selection: {rate: 0.2", "selection: {rat: 0.2", "selection.rat: there is no such key"),
        ("selection: {rate: 0.2", "selection: {rate: 1.5", "selection.rate: Input should be less than 1"),
        ("judge: {kind: gold}", "judge: {kind: openai}", "judge: kind openai needs an endpoint"),
        ("cells: [[1, 1]]", "cells: [[1, 7]]", "cell [1, 7], which is not on the ladders"),
        ("minibatch_size: 8", "minibatch_size: 5", "rl.ppo: minibatch_size must divide batch_size"),
        ("contrast: {low: 0.7, high: 0.95}", "contrast: null", "seam_contrast needs candidates.contrast"),
        ("{threads: 1}", "{device: tpu}", "compute.device: 'tpu' does not have its form"),
        ("{threads: 1}", "{schedule: every day}", "compute.schedule: 'every day' does not have its form"),
        ("{threads: 1}", "{throughput: [{train_tokens_per_second: .inf}]}", "should be a finite number"),
        ("seam_gpt", "seam_gtp", "rl.arms.1.methods.1"),
        ("ranks: [24, 0]\n  training", "ranks: [24, 9, 0]\n  training", "reward rank k starts from policy rank k"),
    ],
)
def test_one_sentence_names_the_key(old: str, new: str, sentence: str) -> None:
    with pytest.raises(SeamError) as caught:
        parse_experiment(changed(old, new), "mine.yaml")
    assert "mine.yaml" in str(caught.value)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_experiment_and_missing_data_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SeamError, match=r"nowhere\.yaml.*neither a file nor one of"):
        load_experiment("nowhere.yaml")
    monkeypatch.delenv("SEAM_DATA", raising=False)
    with pytest.raises(SeamError, match=r"data\.paths: give your dumps with --data"):
        load_experiment("stackexchange")
    monkeypatch.setenv("SEAM_DATA", str(tmp_path / "no" / "Posts.xml"))
    with pytest.raises(SeamError, match=r"data\.paths: .*Posts\.xml does not exist"):
        load_experiment("stackexchange")


def test_paths_are_looked_for_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "Posts.xml").write_text("")
    text = changed(
        "source: testbed, questions: 160, topics: 8, answers_per_question: 3", "source: files, paths: [Posts.xml]"
    )
    text = text.replace("generator: testbed", "generator: openai, endpoint: {model: m}").replace(
        "kind: gold", "kind: reference"
    )
    (tmp_path / "mine.yaml").write_text(text)
    data = load_experiment(str(tmp_path / "mine.yaml")).data
    assert data.source == "files"
    assert data.paths == (str(tmp_path / "Posts.xml"),)


def test_runs_unite_the_arms() -> None:
    smoke: Experiment = load_experiment("smoke")
    assert smoke.runs["full"] == {(1, 1): (0, 1), (2, 2): (0,)}
    assert smoke.runs["random"] == {(1, 1): (0, 1)}
    assert smoke.methods[0] == "full"


def test_the_fingerprint_ignores_speed_and_nothing_else() -> None:
    e = load_experiment("smoke")
    faster = e.scoring.model_copy(update={"tokens_per_batch": 64})
    other = e.scoring.model_copy(update={"max_response_tokens": 5})
    assert fingerprint(e.scoring) == fingerprint(faster)
    assert fingerprint(e.scoring) != fingerprint(other)
