"""`seam compare` on outputs of `seam score`, on a selection and on a study's store."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seam_pipeline.store import Store
from seam_pipeline.store._record import Record
from seam_pipeline.store._store import write_payload
from seam_pipeline.tables import SELECTED

from ..audit.rows import evidence_of, jsonl
from ..tiny import tiny_base, tiny_reward
from .test_commands import run

ROWS = [{"id": i, "instruction": f"Why {i}?", "golden_response": f"Because of {i}."} for i in "abcdef"]
SETS = [
    {"id": row["id"], "candidate_index": n, "candidate": f"{word} {row['id']}."}
    for row in ROWS
    for n, word in enumerate(("Not", "Never"))
]


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `one` and `two`: the same candidates under two reward models."""
    place = tmp_path_factory.mktemp("scored")
    policy = tiny_base(place / "policy", seed=1)
    from seam_pipeline.scoring.own import score_own

    data, sets = jsonl(place / "d.jsonl", ROWS), jsonl(place / "c.jsonl", SETS)
    for name, seed in (("one", 2), ("two", 9)):
        score_own(policy, tiny_reward(place / f"rm_{name}", seed=seed), data, sets, place / name)
    return place


def test_two_results_and_a_selection(capsys: pytest.CaptureFixture[str], scored: Path, tmp_path: Path) -> None:
    chance = [{"id": i, "kept": True, "score": n / 6, "reason": None} for n, i in enumerate("fbdace")]
    pq.write_table(pa.Table.from_pylist(chance, schema=SELECTED), tmp_path / "random.parquet")
    paths = (str(scored / "one"), str(scored / "two"), str(tmp_path / "random.parquet"))
    status, out, err = run(capsys, "compare", *paths, "--show", "2", "--rate", "0.34", "--out", str(tmp_path / "cmp"))
    assert status == 0, err
    for part in ("one: 6 of 6", "random: 6 of 6", "nats/token", "Between results, form log", "Form log with the others",
                 "lowest 34% shared", "instruction: Why", "nats per token: N"):  # fmt: skip
        assert part in out
    summary = json.loads((tmp_path / "cmp" / "comparison.json").read_text())
    assert summary["scored"]["random"] == {"score": 6}
    table = pq.read_table(tmp_path / "cmp" / "comparison.parquet").to_pylist()
    assert table == summary["comparisons"]
    assert {(row["a"], row["b"]) for row in table} >= {("one", "two"), ("one", "random"), ("two", "random")}
    shown = [json.loads(line) for line in (tmp_path / "cmp" / "shown.jsonl").read_text().splitlines()]
    assert [row["name"] for row in shown] == ["one"] * 2 + ["two"] * 2 + ["random"] * 2
    scores = pq.read_table(scored / "one" / "scores.parquet").to_pylist()
    assert shown[0]["score"] == min(row["seam_log"] for row in scores)


def test_the_same_result_twice_agrees_wholly(capsys: pytest.CaptureFixture[str], scored: Path) -> None:
    status, out, _ = run(capsys, "compare", str(scored / "one"), str(scored / "one"), "--rate", "0.5")
    assert status == 0
    line = next(line for line in out.splitlines() if line.startswith("one  ") and "one (2)" in line)
    assert line.split()[3:4] == ["1.00"]
    assert "100%" in line


def test_selections_of_every_kind_are_results(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    scores = jsonl(tmp_path / "numbers.jsonl", [{"id": n, "score": n / 10, "seam_log": n / 10} for n in range(10)])
    for method, out in (("random", "folder"), ("seam", "file.jsonl")):
        arguments = ("--scores", str(scores), "--method", method, "--rate", "0.3", "--out", str(tmp_path / out))
        assert run(capsys, "select", *arguments)[0] == 0
    paths = [str(tmp_path / name) for name in ("folder", "file.jsonl", "numbers.jsonl")]
    status, out, err = run(capsys, "compare", *paths, "--rate", "0.3")
    assert status == 0, err
    assert "folder: 10 of 10" in out
    line = next(line for line in out.splitlines() if line.startswith("file ") and "numbers" in line)
    assert (line.split()[2], line.split()[-1]) == ("1.00", "10")  # whole numbers and text are the same ids


def keep(store: Store, asset: str, partition: str | None, value: object) -> None:
    kind = write_payload(store.stage(asset, partition, "r"), value)
    version = store.hash_staged(asset, partition)
    store.commit(Record(asset, partition, "smoke", kind, version, "r"))


def test_a_studys_store(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAM_HOME", str(tmp_path))
    monkeypatch.delenv("SEAM_STORE", raising=False)
    status, _, err = run(capsys, "compare", "-e", "smoke")
    assert status == 2
    assert "seam run -e smoke" in err
    store = Store(str(tmp_path / "data" / "artifacts" / "smoke"))
    for rank, reward in ((1, 2.0), (2, 5.0)):
        found = evidence_of({"a": [("x", -1.0, reward, 1.0)], "b": [("y", -2.0, 3.0, 1.0)], "c": []})
        tables = {"scores": found.scores, "candidate_scores": found.parts}
        keep(store, "seam_scores_contrast", f"pm{rank:02d}|rm{rank:02d}", tables)
    texts = pa.table({"id": ["a", "b"], "candidate_index": [0, 0], "candidate": ["x", "y"]})
    keep(store, "contrast_candidates", None, texts)
    status, out, err = run(capsys, "compare", "-e", "smoke", "--show", "1")
    assert status == 0, err
    assert "SEAM-Contrast PM 1 / RM 1: 2 of 3 instructions scored" in out
    assert "candidate 0, reward 3.00, −2.00 nats per token: y" in out
    assert run(capsys, "compare", "-e", "smoke", "--cell", "1:1")[1].count("PM 2") == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Nothing to compare"),
        (("--cell", "x", "-e", "smoke"), "give two ranks"),
        (("--cell", "1:1"), "give the study with -e"),
        ((".",), "holds no scores.parquet"),
        (("text.jsonl",), "column score has string values; it must hold numbers"),
        (("twice.jsonl",), "id '1' appears 2 times"),
        (("cut.parquet",), "can't be read as parquet"),
    ],
)
def test_mistakes(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    jsonl(tmp_path / "text.jsonl", [{"id": "a", "score": "low"}])
    jsonl(tmp_path / "twice.jsonl", [{"id": 1, "score": 0.5}, {"id": 1, "score": 1.0}])
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    status, _, err = run(capsys, "compare", *arguments)
    assert status == 2
    assert sentence in err
