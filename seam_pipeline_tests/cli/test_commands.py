import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from seam_pipeline.cli import main
from seam_pipeline_tests.tiny import tiny_base, tiny_reward


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = 0
    try:
        main(list(arguments))
    except SystemExit as stop:
        status = int(stop.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEAM_HOME", str(tmp_path))
    monkeypatch.delenv("SEAM_STORE", raising=False)
    return tmp_path


def test_the_plan_of_the_paper_needs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "plan", "-e", "paper")
    assert status == 0
    assert "7,000.0 M parameters (from its name)" in out
    rows = [line.split() for line in out.splitlines()]
    assert ["policy_model", "10"] in [row[:2] for row in rows]
    assert "Training: " in out
    assert "assumed" in out


def test_a_known_rate_changes_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    _, slow, _ = run(capsys, "plan", "-e", "paper", "--select", "policy_model", "--tflops", "1")
    _, fast, _ = run(capsys, "plan", "-e", "paper", "--select", "policy_model", "--tflops", "100")
    assert slow != fast
    assert "given: 100 TFLOP/s" in fast


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("run", "-e", "nowhere.yaml"), "neither a file nor one of"),
        (("run", "-e", "smoke", "--select", "nothing"), "no such asset in smoke"),
        (("plan", "-e", "smoke", "--tflops", "nan"), "--tflops nan is no speed"),
        (("export", "nowhere", "--out", "x", "--device", "tpu"), "--device tpu is unknown"),
        (("ingest", "nowhere.xml", "--out", "x"), "nowhere.xml does not exist"),
    ],
)
def test_a_mistake_is_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    status, _, err = run(capsys, *arguments)
    assert status == 2
    assert sentence in err
    assert err.count("\n") == 1


def test_the_doctor_names_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(capsys, "doctor", "-e", "smoke")[0] == 0
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    status, out, _ = run(capsys, "doctor", "-e", "paper")
    assert status == 1
    assert "hf download meta-llama/Llama-2-7b-hf" in out
    assert "export OPENAI_API_KEY" in out


def test_score_writes_the_documented_columns(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    policy, reward = tiny_base(home / "policy"), tiny_reward(home / "reward")
    data = [{"id": "a", "instruction": "Why?", "golden_response": "Because."}]
    sets = [{"id": "a", "candidate_index": i, "candidate": text} for i, text in enumerate(("No.", "Ask.", "Never."))]
    (home / "data.jsonl").write_text("\n".join(map(json.dumps, data)))
    (home / "sets.jsonl").write_text("\n".join(map(json.dumps, sets)))
    where = ("--data", str(home / "data.jsonl"), "--candidates", str(home / "sets.jsonl"), "--out", str(home / "out"))
    status, out, err = run(capsys, "score", "--policy", str(policy), "--reward", str(reward), *where)
    assert status == 0, err
    scores = pq.read_table(home / "out" / "scores.parquet")
    assert scores.column_names == [
        "id",
        "seam_log",
        "seam_prob",
        "seam_mean_log",
        "seam_mean_prob",
        "n_candidates",
        "reason",
    ]
    assert scores["n_candidates"].to_pylist() == [3]
    columns = pq.read_table(home / "out" / "candidate_scores.parquet").column_names
    assert columns == ["id", "candidate_index", "loglik", "n_tokens", "reward", "golden_reward", "misjudgement"]
    assert "1 instructions, 0 without a score" in out
