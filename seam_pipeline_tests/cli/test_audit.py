"""`seam audit` as a user types it."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ..audit.rows import jsonl, prompts
from ..llm.server import scripted_server
from ..tiny import tiny_base, tiny_reward
from .test_commands import run


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    place = tmp_path_factory.mktemp("models")
    policy, reward = tiny_base(place / "policy", seed=1), tiny_reward(place / "reward", seed=2)
    return ("--policy", str(policy), "--reward", str(reward))


def test_from_prompts_to_a_report(capsys: pytest.CaptureFixture[str], pair: tuple[str, ...], tmp_path: Path) -> None:
    rows = [
        {"prompt": row["instruction"], "chosen": row["golden_response"], "tags": [row["topic"]]} for row in prompts()
    ]
    data, out = jsonl(tmp_path / "p.jsonl", rows), tmp_path / "out"
    answer = "\n\n".join(f"Quite another wrong answer with the word {word}." for word in ("one", "two", "three"))
    with scripted_server(answer=lambda prompt: answer) as server:
        arguments = (
            "audit", *pair, "--data", str(data), "--column", "instruction=prompt", "--column", "golden_response=chosen",
            "--variant", "llm", "--llm-url", server.url, "--llm-model", "m", "--n", "3", "--rate", "0.34",
            "--form", "prob", "--out", str(out),
        )  # fmt: skip
        status, said, err = run(capsys, *arguments)
        assert status == 0, err
        again, repeated, _ = run(capsys, *arguments)
    assert "llm: " in said
    assert f"Report: {out / 'report.html'}" in said
    assert (again, repeated.count("kept from before")) == (0, 3)
    kept = [json.loads(line) for line in (out / "llm" / "filtered.jsonl").read_text().splitlines()]
    selected = pq.read_table(out / "llm" / "selected.parquet").to_pylist()
    assert kept == [row for row, mark in zip(rows, selected, strict=True) if mark["kept"]]
    assert len(kept) == 4
    scores = pq.read_table(out / "llm" / "scores.parquet")["seam_prob"].to_pylist()
    out_of_it = [score for score, mark in zip(scores, selected, strict=True) if not mark["kept"]]
    assert sorted(out_of_it) == sorted(scores)[:2]
    page = (out / "report.html").read_text()
    assert "column tags" in page
    assert "SEAM-GPT" in page


def test_a_budget_ends_the_asking(capsys: pytest.CaptureFixture[str], pair: tuple[str, ...], tmp_path: Path) -> None:
    data, out = jsonl(tmp_path / "p.jsonl", prompts()), tmp_path / "out"
    with scripted_server(answer=lambda prompt: "A wrong answer here.") as server:
        status, said, err = run(
            capsys, "audit", *pair, "--data", str(data), "--variant", "llm", "--llm-url", server.url,
            "--llm-model", "m", "--n", "1", "--llm-max-tokens", "20", "--llm-budget", "1", "--out", str(out),
        )  # fmt: skip
        assert status == 0, err
        assert not server.requests
    assert "6 have no score" in said
    assert 'failures: {"budget": 6}' in said
    reasons = pq.read_table(out / "llm" / "scores.parquet")["reason"].to_pylist()
    assert all("budget: the next request might exceed max_tokens_total 1" in why for why in reasons)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--variant", "nothing"), "--variant: Input should be 'contrast', 'llm' or 'adversarial'"),
        (("--variant", "llm"), "needs --llm-model"),
        (("--band", "0.9", "0.8"), "--band: Value error, low must be below high"),
        (("--recipes", "none", "--variant", "adversarial"), "--recipes"),
        (("--column", "prompt=x"), "give id=, instruction="),
        (("--column", "instruction=x"), "there is no column x"),
        (("--topic-column", "x"), "no column x for topics"),
        (("--policy", "nowhere/at/all"), "No model folder at nowhere/at/all"),
    ],
)
def test_a_mistake_is_said_before_anything_is_built(
    capsys: pytest.CaptureFixture[str],
    pair: tuple[str, ...],
    tmp_path: Path,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    data = jsonl(tmp_path / "p.jsonl", prompts())
    status, _, err = run(capsys, "audit", *pair, "--data", str(data), "--out", str(tmp_path / "out"), *arguments)
    assert status == 2
    assert sentence in err
    assert not list(tmp_path.glob("out/*/*.parquet"))
