"""`seam select` as a user calls it: each test goes through the command."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seam_pipeline.cli import main
from seam_pipeline.cli._select import METHODS
from seam_pipeline.selection import select
from seam_pipeline.selection.own import OWN_METHODS
from seam_pipeline.tables import RL, SELECTED

IDS = [f"q{n}" for n in range(10)]
SEAM = [-1.0, -5.0, -2.0, 0.0, None, -9.0, -3.0, 0.0, 0.0, 0.0]


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    status = 0
    try:
        main(["select", *map(str, arguments)])
    except SystemExit as stop:
        status = int(stop.code or 0)
    out, err = capsys.readouterr()
    return status, out, err


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    """The one sentence that a refused command prints."""
    status, out, err = run(capsys, *arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1, err
    return err


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `seam score` writes, with reasons; q4 has no score."""
    scores = tmp_path / "scores"
    scores.mkdir()
    forms = {f"seam_{form}": SEAM for form in ("log", "mean_log", "mean_prob")}
    table = {"id": IDS, **forms, "seam_prob": [None if s is None else s * s - 4 for s in SEAM]}
    table |= {"n_candidates": [3] * 10, "reason": ["no candidates" if s is None else None for s in SEAM]}
    pq.write_table(pa.table(table), scores / "scores.parquet")
    golden = {"id": [i for i in IDS[1:] for _ in (0, 1)], "golden_reward": [float(n // 2) for n in range(18)]}
    pq.write_table(pa.table(golden), scores / "candidate_scores.parquet")
    return scores


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def dataset(path: Path, ids: list[str]) -> Path:
    """Rows in another order than the scores, with columns of mixed types and odd spacing."""
    rows = [f'{{"extra":  [1, "é"], "id": "{i}", "golden_response": "{"x" * (n + 1)}"}}\n' for n, i in enumerate(ids)]
    path.write_text("".join(rows))
    return path


def dropped(path: Path) -> set[str]:
    table = pq.read_table(path)
    assert table.schema.names == SELECTED.names
    return {row["id"] for row in table.to_pylist() if not row["kept"]}


def test_a_folder_of_scores_filters_a_dataset_line_by_line(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path
) -> None:
    data, out = dataset(tmp_path / "mine.jsonl", IDS[::-1]), tmp_path / "out"
    status, shown, err = run(capsys, "--scores", folder, "--method", "seam", "--data", data, "--out", out)
    assert status == 0, err
    assert "10 instructions, 2 filtered out by seam, 1 kept without a score" in shown
    kept = [line for line in data.read_text().splitlines(True) if '"q1"' not in line and '"q5"' not in line]
    assert (out / "filtered.jsonl").read_text() == "".join(kept)
    rows = pq.read_table(out / "selection.parquet").to_pylist()
    assert [row["id"] for row in rows] == IDS[::-1]
    assert rows[5] == {"id": "q4", "kept": True, "score": None, "reason": "kept without a score: no candidates"}
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["method"], summary["form"], summary["rate"]) == ("seam", "log", 0.2)
    assert (summary["instructions"], summary["filtered"], summary["kept"], summary["without_score"]) == (10, 2, 8, 1)
    assert (summary["highest_filtered_score"], summary["lowest_kept_score"]) == (-5.0, -3.0)
    assert summary["without_score_by_reason"] == {"kept without a score: no candidates": 1}


def test_parquet_keeps_its_schema(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    table = pa.table({"id": pa.array(IDS).dictionary_encode(), "tags": [[n] for n in range(10)]})
    table = table.replace_schema_metadata({"note": "kept"})
    pq.write_table(table, tmp_path / "mine.parquet")
    out = tmp_path / "less.parquet"
    where = ("--data", tmp_path / "mine.parquet", "--out", out)
    assert run(capsys, "--scores", folder, "--method", "seam", "--form", "prob", "--rate", 0.4, *where)[0] == 0
    less = pq.read_table(out)
    assert less.schema.equals(pq.read_schema(tmp_path / "mine.parquet"), check_metadata=True)
    assert less.schema.metadata == {b"note": b"kept"}
    # The lowest of s * s - 4: the zeros (-4); four go of the four.
    assert less["id"].to_pylist() == ["q0", "q1", "q2", "q4", "q5", "q6"]
    assert dropped(tmp_path / "less.selection.parquet") == {"q3", "q7", "q8", "q9"}
    assert (tmp_path / "less.summary.json").is_file()


def test_it_agrees_with_the_study(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    rl = pa.Table.from_pylist(
        [{"id": i, "split": "train", "instruction": "?", "golden_response": "!"} for i in IDS], schema=RL
    )
    evidence = {"seam_scores": pq.read_table(folder / "scores.parquet"), "seed": 3}
    for method, more in (("random", ("--seed", 3)), ("seam_gpt", ("--form", "mean_log"))):
        out = tmp_path / method
        assert run(capsys, "--scores", folder, "--method", method, "--rate", 0.3, "--out", out, *more)[0] == 0
        assert pq.read_table(out / "selection.parquet") == select(method, rl, 0.3, form="mean_log", **evidence)  # type: ignore[arg-type]


def test_ties_are_shown(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    status, out, _ = run(capsys, "--scores", folder, "--method", "seam", "--rate", 0.7, "--out", tmp_path / "out")
    assert status == 0
    assert "2 of the filtered have the same score as some that stay (0)" in out


OWN = [
    {"id": 1, "perplexity": 30.0, "golden_reward": 2.0, "sample_rewards": [1.0, 3.0], "golden_response": "abc"},
    {"id": 2, "perplexity": 90.0, "golden_reward": -1.0, "sample_rewards": [4.0, 4.0], "golden_response": "abcde"},
    {"id": 3, "perplexity": 5.0, "golden_reward": 1.0, "sample_rewards": [2.0, 2.5], "golden_response": "a"},
    {"id": 4, "perplexity": 9.0, "golden_reward": float("nan"), "sample_rewards": [], "golden_response": " "},
    {"id": 5, "perplexity": None, "golden_reward": None, "sample_rewards": None, "golden_response": "abcd"},
]
PAIRS = ((0.5, 0.0), (3.0, 0.1), (-1.0, 0.0), (None, 0.0), (2.0, -30.0))
for _row, (_margin, _logs) in zip(OWN, PAIRS, strict=True):
    _row |= {"worse_reward": None if _margin is None or _row["golden_reward"] is None else 0.0}
    _row |= {f"{who}_{which}_loglik": -50.0 for who in ("policy", "base") for which in ("golden", "worse")}
OWN[1]["policy_golden_loglik"] = -20.0


@pytest.mark.parametrize(
    ("method", "first", "score", "without"),
    [
        ("perplexity", "2", -90.0, {"5"}),
        ("reward", "2", -1.0, {"4", "5"}),
        ("length", "3", 1.0, {"4"}),
        ("reward_variance", "2", 0.0, {"4", "5"}),
        ("pre_ppo", "2", -4.0, {"4", "5"}),
        # Mid-ranks of 1, 2, 2.5, 3, 4, 4 are 1, 3, 5, 7, 10, 10 twelfths; 3: (|6-12| + |10-12|) / 24 = 1/3.
        ("pf_ppo", "3", 1 / 3, {"4", "5"}),
        # 2: explicit -1, implicit 0.1 * 30.
        ("margin_gap", "2", -4.0, {"4", "5"}),
    ],
)
def test_own_tables_have_their_columns(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, method: str, first: str, score: float, without: set[str]
) -> None:
    table = lines(tmp_path / "own.jsonl", OWN)
    status, _, err = run(capsys, "--scores", table, "--method", method, "--out", tmp_path / "out")
    assert status == 0, err
    rows = {row["id"]: row for row in pq.read_table(tmp_path / "out" / "selection.parquet").to_pylist()}
    assert [i for i, row in rows.items() if not row["kept"]] == [first]
    assert rows[first]["score"] == pytest.approx(score)
    assert {i for i, row in rows.items() if row["score"] is None} == without
    assert all(rows[i]["reason"].startswith("kept without a score: ") for i in without)


def test_reward_comes_from_the_candidates(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    assert run(capsys, "--scores", folder, "--method", "reward", "--out", tmp_path / "s.jsonl")[0] == 0
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [row["score"] for row in rows] == [None, *map(float, range(9))]
    assert [row["id"] for row in rows if not row["kept"]] == ["q1", "q2"]
    assert rows[0]["reason"] == "kept without a score: no golden_reward in candidate_scores.parquet"


def test_length_comes_from_the_dataset(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    data = dataset(tmp_path / "mine.jsonl", IDS[::-1])
    where = ("--data", data, "--out", tmp_path / "less.jsonl")
    assert run(capsys, "--scores", folder, "--method", "length", *where)[0] == 0
    assert dropped(tmp_path / "less.selection.parquet") == {"q9", "q8"}


def test_missing_evidence_is_named(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    table, out = lines(tmp_path / "ids.jsonl", [{"id": "a"}]), tmp_path / "out"
    for method, name in (
        ("seam", "seam_log"), ("perplexity", "perplexity"), ("reward", "golden_reward"), ("length", "golden_response"),
        ("reward_variance", "sample_rewards"), ("pre_ppo", "sample_rewards"), ("pf_ppo", "sample_rewards"),
        ("margin_gap", "golden_reward"),
    ):  # fmt: skip
        sentence = refused(capsys, "--scores", table, "--method", method, "--out", out)
        assert f"{method} needs the column {name}" in sentence
        assert "ids.jsonl" in sentence
    assert not out.exists()
    assert "no scores.parquet" in refused(capsys, "--scores", tmp_path, "--method", "seam", "--out", out)
    assert "nowhere is not a file" in refused(
        capsys, "--scores", tmp_path / "nowhere", "--method", "random", "--out", out
    )


def test_duplicate_ids_are_refused(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    twice = lines(tmp_path / "twice.jsonl", [{"id": "a", "seam_log": 1.0}] * 2)
    sentence = refused(capsys, "--scores", twice, "--method", "seam", "--out", tmp_path / "out")
    assert "twice.jsonl: id 'a' appears 2 times" in sentence
    data = dataset(tmp_path / "mine.jsonl", [*IDS, "q3"])
    sentence = refused(capsys, "--scores", folder, "--method", "seam", "--data", data, "--out", tmp_path / "out")
    assert "mine.jsonl: id 'q3' appears 2 times" in sentence


def test_ids_on_one_side_are_refused(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    for ids, sentence in (
        (IDS[2:], "scores.parquet: 2 ids of column id ('q0' first) are not in"),
        ([*IDS, "q99"], "mine.jsonl: 1 ids of column id ('q99' first) are not in"),
    ):
        data = dataset(tmp_path / "mine.jsonl", ids)
        assert sentence in refused(
            capsys, "--scores", folder, "--method", "seam", "--data", data, "--out", tmp_path / "out"
        )
    assert not (tmp_path / "out").exists()


def test_too_few_scores_are_said_aloud(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = [{"id": str(n), "seam_log": value, "reason": "no candidates"} for n, value in enumerate((-1.0, None, None))]
    table, out = lines(tmp_path / "own.jsonl", rows), tmp_path / "out"
    status, shown, _ = run(capsys, "--scores", table, "--method", "seam", "--rate", 0.6, "--out", out)
    assert status == 0
    assert "2 should have been filtered, but no more have a score" in shown
    table = lines(tmp_path / "none.jsonl", rows[1:])
    sentence = refused(capsys, "--scores", table, "--method", "seam", "--out", tmp_path / "none")
    assert "no instruction has a seam score (no candidates)" in sentence
    assert not (tmp_path / "none").exists()


def test_non_finite_scores_are_kept_and_counted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = [{"id": str(n), "seam_log": value} for n, value in enumerate((-1.0, float("nan"), float("-inf"), None, 0.0))]
    table = lines(tmp_path / "own.jsonl", rows)
    status, out, _ = run(capsys, "--scores", table, "--method", "seam", "--rate", 0.4, "--out", tmp_path / "out")
    assert status == 0
    assert "2 filtered out by seam, 3 kept without a score" in out
    assert dropped(tmp_path / "out" / "selection.parquet") == {"0", "4"}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["without_score_by_reason"] == {"kept without a score: its score is missing or not finite": 3}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('{"id": "a", "seam_log": "low"}\n', "column seam_log has string values; it must hold numbers"),
        ('{"id": null, "seam_log": 1.0}\n', "column id is null in 1 rows"),
        ('{"seam_log": 1.0}\n', "column id is missing"),
        ('{"id": "a"', "line 1 is not JSON"),
        ("", "there are no rows"),
        ('{"id": "\\ud83c", "seam_log": 1.0}\n', "column id holds half a character"),
    ],
)
def test_odd_tables_are_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, sentence: str
) -> None:
    (tmp_path / "own.jsonl").write_text(text)
    assert sentence in refused(
        capsys, "--scores", tmp_path / "own.jsonl", "--method", "seam", "--out", tmp_path / "out"
    )


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("mine.jsonl", '{"id": 1.5}\n', "row 1 has the id 1.5"),
        ("mine.jsonl", '{"id": "a"}\n\n{"x": 1}\n', "row 2 has no id"),
        ("mine.jsonl", '{"id": "a"}\n[1]\n', "line 2 is not a JSON object"),
        ("mine.jsonl", '{"id": "a"}\n{"id"\n', "line 2 is not JSON"),
        ("mine.jsonl", '{"x": "a"}\n', "column id is missing"),
        ("mine.csv", "id\na\n", "the ending .csv is unknown"),
        ("mine.parquet", "id", "can't be read as parquet"),
    ],
)
def test_odd_datasets_are_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, text: str, sentence: str
) -> None:
    table, data = lines(tmp_path / "own.jsonl", [{"id": "a"}]), tmp_path / name
    data.write_text(text)
    where = ("--data", data, "--out", tmp_path / "out")
    assert sentence in refused(capsys, "--scores", table, "--method", "random", *where)


def test_an_unusable_output_is_refused(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    data = dataset(tmp_path / "mine.jsonl", IDS)
    arguments = ("--scores", folder, "--method", "seam", "--data", data)
    assert f"would overwrite {data}" in refused(capsys, *arguments, "--out", data)
    no_data = ("--scores", folder, "--method", "seam", "--out")
    assert "which is read; give another" in refused(capsys, *no_data, folder / "scores.parquet")
    (folder / "summary.json").write_text('{"policy": "x"}')
    assert "summary.json, which is not of `seam select`" in refused(capsys, *no_data, folder)
    assert [run(capsys, *no_data, tmp_path / "again")[0] for _ in range(2)] == [0, 0]
    assert f"give one of {folder}" in refused(capsys, "--scores", tmp_path, *no_data[2:], tmp_path / "x")  # an audit's
    assert "use that ending" in refused(capsys, *arguments, "--out", tmp_path / "less.parquet")
    assert "can't be used as the output folder" in refused(capsys, *arguments, "--out", data / "below")
    status, _, err = run(capsys, *arguments, "--out", tmp_path / "out", "--rate", 1)
    assert (status, "--rate" in err) == (2, True)


def test_the_choices_are_the_methods() -> None:
    assert METHODS == OWN_METHODS
