"""Every fault of a user's data or models through the commands: one sentence, or a null with a reason."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from seam_pipeline.models._compat import quiet

from ..cli.test_commands import run
from .rows import jsonl

Row = dict[str, Any]
DATA: list[Row] = [{"id": i, "instruction": f"Why {i}?", "golden_response": f"Because of {i}."} for i in ("a", "b")]
SETS: list[Row] = [
    {"id": i, "candidate_index": n, "candidate": text} for i in ("a", "b") for n, text in enumerate(("No.", "Yes."))
]


def scored(
    capsys: pytest.CaptureFixture[str],
    models: dict[str, Path],
    place: Path,
    data: list[Row] = DATA,
    sets: list[Row] = SETS,
    **other: Path,
) -> tuple[int, str, str]:
    paths = {**models, **other}
    return run(
        capsys, "score", "--policy", str(paths["policy"]), "--reward", str(paths["reward"]),
        "--data", str(jsonl(place / "d.jsonl", data)), "--candidates", str(jsonl(place / "c.jsonl", sets)),
        "--out", str(place / "out"),
    )  # fmt: skip


def table(place: Path, name: str) -> list[Row]:
    return pq.read_table(place / "out" / f"{name}.parquet").to_pylist()


def copy(folder: Path, place: Path) -> Path:
    return Path(shutil.copytree(folder, place / "copy"))


def edit(file: Path, **fields: object) -> None:
    known = {**json.loads(file.read_text()), **fields}
    file.write_text(json.dumps({key: value for key, value in known.items() if value is not None}))


def test_non_finite_rewards_are_null_with_a_reason(capsys: Any, models: dict[str, Path], tmp_path: Path) -> None:
    broken = copy(models["reward"], tmp_path)
    weights = load_file(broken / "model.safetensors")
    weights["score.weight"][:] = float("nan")
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    assert scored(capsys, models, tmp_path, reward=broken)[0] == 0
    assert {row["reason"] for row in table(tmp_path, "scores")} == {"golden response has no reward: the reward is nan"}
    assert {row["seam_log"] for row in table(tmp_path, "scores")} == {None}


def test_empty_responses_are_left_out_with_a_reason(capsys: Any, models: dict[str, Path], tmp_path: Path) -> None:
    sets = [{**SETS[0], "candidate": "  "}, *SETS[1:]]
    assert scored(capsys, models, tmp_path, sets=sets)[0] == 0
    assert table(tmp_path, "left_out") == [{"id": "a", "candidate_index": 0, "reason": "no likelihood: empty response"}]
    assert [row["n_candidates"] for row in table(tmp_path, "scores")] == [1, 2]


def test_a_response_equal_to_the_golden_one_is_no_misjudgement(
    capsys: Any, models: dict[str, Path], tmp_path: Path
) -> None:
    sets = [{**row, "candidate": f"Because of {row['id']}."} if row["candidate_index"] == 0 else row for row in SETS]
    assert scored(capsys, models, tmp_path, sets=sets)[0] == 0
    same = [row for row in table(tmp_path, "candidate_scores") if row["candidate_index"] == 0]
    assert [row["misjudgement"] for row in same] == [0.0, 0.0]
    assert [row["reward"] for row in same] == [row["golden_reward"] for row in same]


def test_an_empty_candidate_set_has_no_score(capsys: Any, models: dict[str, Path], tmp_path: Path) -> None:
    sets = [*SETS[:2], {"id": "b", "candidate_index": -1, "candidate": None}]
    status, out, _ = scored(capsys, models, tmp_path, sets=sets)
    assert status == 0
    assert "2 instructions, 1 without a score" in out
    assert table(tmp_path, "scores")[1]["reason"] == "no candidates"


@pytest.mark.parametrize(
    ("data", "sets", "sentence"),
    [
        ([*DATA, DATA[0]], SETS, "id 'a' appears 2 times"),
        (DATA, [*SETS, SETS[0]], "id 'a', candidate_index 0 appears 2 times"),
        (DATA, SETS[:2], "1 ids of column id ('b' first) are not in"),
        (DATA[:1], SETS, "1 ids of column id ('b' first) are not in"),
    ],
)
def test_ids_that_do_not_match_are_refused(
    capsys: Any, tmp_path: Path, models: dict[str, Path], data: list[Row], sets: list[Row], sentence: str
) -> None:
    status, _, err = scored(capsys, models, tmp_path, data, sets)
    assert status == 2
    assert sentence in err
    assert err.count("\n") == 1


def several_labels(folder: Path) -> None:
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3, ignore_mismatched_sizes=True)
        model.save_pretrained(folder)


def cut_short(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-2000])


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def no_end(folder: Path) -> None:
    edit(folder / "tokenizer_config.json", eos_token=None)


FAULTS: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "several labels": ("reward", several_labels, "has 3 labels; a reward model has exactly one"),
    "cut short": ("policy", cut_short, "damaged"),
    "cut reward": ("reward", cut_short, "damaged"),
    "no weights": ("policy", no_weights, "check that the folder is complete"),
    "no end token": ("policy", no_end, "has no end-of-text token"),
}


AUDIT_FAULTS = {
    **FAULTS,
    "no weights": ("policy", no_weights, "holds no weights in safetensors files"),
    "a reward model": ("policy", lambda folder: None, "is a LlamaForSequenceClassification, which writes no text"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_models_that_cannot_be_used_are_refused(
    capsys: Any, models: dict[str, Path], tmp_path: Path, fault: str
) -> None:
    which, damage, sentence = FAULTS[fault]
    folder = copy(models[which], tmp_path)
    damage(folder)
    status, _, err = scored(capsys, models, tmp_path, **{which: folder})
    assert status == 2
    assert sentence in err
    assert err.count("\n") == 1


def test_a_tokenizer_without_a_pad_token_scores_the_same(capsys: Any, models: dict[str, Path], tmp_path: Path) -> None:
    assert scored(capsys, models, tmp_path)[0] == 0
    before = table(tmp_path, "candidate_scores")
    folder = copy(models["policy"], tmp_path)
    edit(folder / "tokenizer_config.json", pad_token=None)
    assert scored(capsys, models, tmp_path, policy=folder)[0] == 0
    assert table(tmp_path, "candidate_scores") == before


@pytest.mark.parametrize("fault", ["cut short", "several labels", "no weights", "a reward model"])
def test_audit_refuses_models_before_it_builds_anything(
    capsys: Any, models: dict[str, Path], tmp_path: Path, fault: str
) -> None:
    which, damage, sentence = AUDIT_FAULTS[fault]
    folder = copy(models["reward" if fault == "a reward model" else which], tmp_path)
    damage(folder)
    paths = {**models, which: folder}
    data = jsonl(tmp_path / "d.jsonl", [{**row, "topic": "t"} for row in DATA])
    status, _, err = run(
        capsys, "audit", "--policy", str(paths["policy"]), "--reward", str(paths["reward"]),
        "--data", str(data), "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert status == 2
    assert sentence in err
    assert not list((tmp_path / "out").glob("contrast/*"))


@pytest.mark.parametrize("command", ["score", "audit"])
def test_a_reward_models_adapter_is_no_policy(
    capsys: Any, models: dict[str, Path], tmp_path: Path, command: str
) -> None:
    with quiet():
        base = AutoModelForSequenceClassification.from_pretrained(models["policy"], num_labels=1)
        config = LoraConfig(r=2, target_modules=["q_proj"], task_type="SEQ_CLS")
        get_peft_model(base, config).save_pretrained(tmp_path / "adapter")
    sets = ("--candidates", str(jsonl(tmp_path / "c.jsonl", SETS))) if command == "score" else ()
    status, _, err = run(
        capsys, command, "--policy", str(tmp_path / "adapter"), "--reward", str(models["reward"]),
        "--data", str(jsonl(tmp_path / "d.jsonl", DATA)), *sets, "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert status == 2
    assert "is of a sequence classifier (task_type SEQ_CLS); give a policy's" in err
    assert not list(tmp_path.glob("out/*/*.parquet"))


@pytest.mark.parametrize("command", ["score", "audit"])
def test_quantised_loading_without_bitsandbytes_is_one_sentence(
    capsys: Any, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("seam_pipeline.models._load.find_spec", lambda name: None)
    sets = ("--candidates", str(jsonl(tmp_path / "c.jsonl", SETS))) if command == "score" else ()
    status, _, err = run(
        capsys, command, "--policy", str(models["policy"]), "--reward", str(models["reward"]), "--load-in", "4bit",
        "--data", str(jsonl(tmp_path / "d.jsonl", DATA)), *sets,
        "--out", str(tmp_path / "out"),
    )  # fmt: skip
    assert status == 2
    assert "pip install bitsandbytes" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("load_in", ["4bit", "8bit"])
def test_quantised_rewards_are_near(models: dict[str, Path], load_in: str) -> None:
    pytest.importorskip("bitsandbytes")
    from seam_pipeline.models.stack import load_reward

    ids = torch.tensor([[1, 20, 30, 40, 50]])
    exact, near = (load_reward(models["reward"], "cpu", kind) for kind in (None, load_in))
    assert near.head.weight.dtype == torch.float32
    with torch.no_grad():
        difference = near.score(ids, torch.ones_like(ids)) - exact.score(ids, torch.ones_like(ids))
    assert abs(float(difference)) < 1.0
