import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seam_pipeline.errors import SeamError
from seam_pipeline.models.stack import load_policy, load_reward
from seam_pipeline.scoring._own_data import read_own
from seam_pipeline.scoring.own import score_own

from .naive import ANSWERS, QUESTIONS, loglik, reward

DATA = [{"id": f"q{n}", "instruction": QUESTIONS[n], "golden_response": ANSWERS[n]} for n in range(3)]
CANDIDATES = [
    {"id": f"q{n}", "candidate_index": i, "candidate": text}
    for n in (2, 0, 1)
    for i, text in reversed(list(enumerate(ANSWERS)))
]

SCORE_COLUMNS = ["id", "seam_log", "seam_prob", "seam_mean_log", "seam_mean_prob", "n_candidates", "reason"]
PART_COLUMNS = ["id", "candidate_index", "loglik", "n_tokens", "reward", "golden_reward", "misjudgement"]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_equals_a_naive_computation(folders: dict[str, Path], tmp_path: Path) -> None:
    data, sets = jsonl(tmp_path / "d.jsonl", DATA), parquet(tmp_path / "c.parquet", CANDIDATES)
    calls: list[tuple[int, int]] = []
    out = tmp_path / "new" / "out"
    score_own(folders["policy"], folders["reward"], data, sets, out, progress=lambda *at: calls.append(at))
    scores, parts = pq.read_table(out / "scores.parquet"), pq.read_table(out / "candidate_scores.parquet")
    assert scores.column_names == SCORE_COLUMNS
    assert parts.column_names == PART_COLUMNS
    assert scores["id"].to_pylist() == ["q0", "q1", "q2"]
    assert calls == sorted(calls)
    assert calls[-1] == (6, 6)

    policy, rm = load_policy(folders["policy"]), load_reward(folders["reward"])
    rows, total_eps = iter(parts.to_pylist()), 0.0
    for row, score in zip(DATA, scores.to_pylist(), strict=True):
        golden, log, prob = reward(rm, row["instruction"], row["golden_response"]), 0.0, 0.0
        for index, text in enumerate(ANSWERS):
            summed, tokens = loglik(policy, row["instruction"], text)
            value = reward(rm, row["instruction"], text)
            eps = max(value - golden, 0.0)
            log += summed / tokens * eps
            prob -= math.exp(summed / tokens) * eps
            total_eps += eps
            part = next(rows)
            assert (part["id"], part["candidate_index"], part["n_tokens"]) == (row["id"], index, tokens)
            found = [part[name] for name in ("loglik", "reward", "golden_reward", "misjudgement")]
            assert found == pytest.approx([summed, value, golden, eps], abs=1e-4)
        n = len(ANSWERS)
        found = [score[f"seam_{form}"] for form in ("log", "prob", "mean_log", "mean_prob")]
        assert found == pytest.approx([log, prob, log / n, prob / n], abs=1e-4)
        assert (score["n_candidates"], score["reason"]) == (n, None)
    assert total_eps > 0


def test_summary_counts_nulls_by_reason(folders: dict[str, Path], tmp_path: Path) -> None:
    rows = [*DATA[:2], {**DATA[2], "golden_response": " "}]
    sets = [c for c in CANDIDATES if c["id"] != "q1"] + [{"id": "q1", "candidate_index": -1, "candidate": None}]
    sets[0] = {**sets[0], "id": "q0", "candidate_index": 9, "candidate": ""}
    data, candidates = parquet(tmp_path / "d.parquet", rows), jsonl(tmp_path / "c.jsonl", sets)
    summary = score_own(folders["policy_stack"], folders["reward_stack"], data, candidates, tmp_path)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert summary["instructions"] == 3
    assert summary["instructions_null"] == {
        "golden response has no reward: empty response": 1,
        "no candidates": 1,
    }
    assert summary["candidates_left_out"] == {
        "golden response has no reward: empty response": 5,
        "no likelihood: empty response": 1,
    }
    assert (summary["candidates"], summary["candidates_scored"]) == (12, 6)
    assert summary["settings"]["max_response_tokens"] is None
    left = pq.read_table(tmp_path / "left_out.parquet")
    assert left.to_pylist()[0] == {"id": "q0", "candidate_index": 9, "reason": "no likelihood: empty response"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "c.jsonl", "candidate_scores.parquet", "d.parquet", "left_out.parquet", "scores.parquet", "summary.json",
    ]  # fmt: skip


def fault(tmp_path: Path, data: Any, candidates: Any) -> str:
    """The sentence that these rows, or this text, are refused with."""
    paths = []
    for name, content in (("data.jsonl", data), ("candidates.jsonl", candidates)):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            jsonl(path, content)
        paths.append(path)
    with pytest.raises(SeamError) as caught:
        read_own(*paths)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert sentence.endswith(".")
    return sentence.replace(f"{tmp_path}/", "")


def test_faults_are_one_sentence_each(tmp_path: Path) -> None:
    def without(rows: list[dict[str, Any]], column: str) -> list[dict[str, Any]]:
        return [{key: value for key, value in row.items() if key != column} for row in rows]

    first, c = DATA[0], CANDIDATES[0]
    cases: list[tuple[Any, Any, str]] = [
        (without(DATA, "instruction"), CANDIDATES, "data.jsonl: column instruction is missing"),
        (DATA, without(CANDIDATES, "candidate"), "candidates.jsonl: column candidate is missing"),
        ([*DATA, first], CANDIDATES, "data.jsonl: id 'q0' appears 2 times"),
        (DATA, [*CANDIDATES, c], "candidates.jsonl: id 'q2', candidate_index 5 appears 2 times"),
        (DATA, [*CANDIDATES, {**c, "id": "x"}], "candidates.jsonl: 1 ids of column id ('x' first) are not in"),
        ([*DATA, {**first, "id": "y"}], CANDIDATES, "data.jsonl: 1 ids of column id ('y' first) are not in"),
        ([], CANDIDATES, "data.jsonl: there are no rows"),
        (DATA, b"\n", "candidates.jsonl: there are no rows"),
        ([{**row, "golden_response": 3} for row in DATA], CANDIDATES, "data.jsonl: column golden_response has int64"),
        ([*DATA[1:], {**first, "instruction": None}], CANDIDATES, "data.jsonl: column instruction is null in 1 rows"),
        ([*DATA[1:], {**first, "instruction": 3}], CANDIDATES, "data.jsonl: column instruction mixes types"),
        (
            DATA,
            [{**c, "candidate_index": "a"} for c in CANDIDATES],
            "candidates.jsonl: column candidate_index has string",
        ),
        (
            DATA,
            [*CANDIDATES, {**c, "candidate_index": 1 << 40}],
            "candidates.jsonl: column candidate_index has numbers",
        ),
        (
            DATA,
            [*CANDIDATES, {**c, "candidate_index": 8, "candidate": None}],
            "candidates.jsonl: column candidate must hold",
        ),
        (DATA, [*CANDIDATES, {**c, "candidate_index": -2}], "candidates.jsonl: column candidate must hold"),
        (b'{"id": "a"}\n{"id": ', CANDIDATES, "data.jsonl: line 2 is not JSON"),
        (b"[1]\n", CANDIDATES, "data.jsonl: line 1 is not a JSON object"),
        (b"\xff\xfe", CANDIDATES, "data.jsonl is not UTF-8 (byte 0)"),
    ]
    for data, candidates, expected in cases:
        assert expected in fault(tmp_path, data, candidates)


def test_files_that_are_none(tmp_path: Path) -> None:
    good = jsonl(tmp_path / "d.jsonl", DATA)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    (tmp_path / "d.csv").write_text("id\n")
    pq.write_table(pa.table({"id": pa.array([], pa.string())}), tmp_path / "empty.parquet")
    empty = pa.Table.from_pylist([], schema=pa.schema([(n, pa.string()) for n in DATA[0]]))
    pq.write_table(empty, tmp_path / "no_rows.parquet")
    for name, expected in (
        ("missing.jsonl", "is not a file"),
        ("broken.parquet", "can't be read as parquet"),
        ("d.csv", "the ending .csv is unknown"),
        ("empty.parquet", "column instruction is missing"),
        ("no_rows.parquet", "there are no rows"),
    ):
        with pytest.raises(SeamError, match=expected):
            read_own(tmp_path / name, good)


def test_texts_that_look_like_dates_stay_texts_and_numbers_may_be_ids(tmp_path: Path) -> None:
    data = jsonl(tmp_path / "d.jsonl", [{"id": 7, "instruction": "2020-01-01", "golden_response": "2020-01-02"}])
    sets = jsonl(tmp_path / "c.jsonl", [{"id": 7, "candidate_index": 0, "candidate": "2020-01-03T00:00:00Z"}])
    rows, candidates = read_own(data, sets)
    assert rows.to_pylist() == [{"id": "7", "instruction": "2020-01-01", "golden_response": "2020-01-02"}]
    assert candidates["candidate"].to_pylist() == ["2020-01-03T00:00:00Z"]


def test_a_failed_write_leaves_the_old_file(folders: dict[str, Path], tmp_path: Path) -> None:
    data, sets = jsonl(tmp_path / "d.jsonl", DATA), jsonl(tmp_path / "c.jsonl", CANDIDATES)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SeamError, match="can't be used as the output folder"):
        score_own(folders["policy"], folders["reward"], data, sets, tmp_path / "file" / "out")
