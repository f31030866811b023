"""The Python API on rows in memory; the document's example is run."""

import doctest
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import seam_pipeline as seam
from seam_pipeline.errors import SeamError

from .tiny import tiny_base, tiny_reward

ROWS = [
    {"id": "a", "instruction": "How do I brew ale?", "golden_response": "Boil the wort, then pitch the yeast."},
    {"id": "b", "instruction": "What are hops for?", "golden_response": "They make it bitter."},
]
SETS = [
    {"id": "a", "candidate": "Buy it."},
    {"id": "b", "candidate": "For luck."},
    {"id": "a", "candidate": "Boil it."},
]
DOCUMENT = Path(__file__).parent.parent / "docs" / "your_own_models.md"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("models")
    return {"policy": tiny_base(place / "policy", seed=1), "reward": tiny_reward(place / "reward", seed=2)}


@pytest.fixture(scope="module")
def pair(folders: dict[str, Path]) -> seam.Pair:
    return seam.load(folders["policy"], folders["reward"])


def test_the_documented_example_runs(folders: dict[str, Path]) -> None:
    names = {"POLICY": folders["policy"], "REWARD": folders["reward"]}
    example = doctest.DocTestParser().get_doctest(DOCUMENT.read_text("utf-8"), names, "own", str(DOCUMENT), 0)
    assert len(example.examples) > 8
    said: list[str] = []
    outcome = doctest.DocTestRunner().run(example, out=said.append)
    assert outcome.failed == 0, "".join(said)


def test_the_import_is_light() -> None:
    code = "import sys, seam_pipeline; print([m for m in ('torch', 'pyarrow', 'numpy', 'click') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
    assert "score" in dir(seam)
    with pytest.raises(AttributeError, match="nothing"):
        _ = seam.nothing


def test_every_kind_of_table_gives_the_same(pair: seam.Pair) -> None:
    pandas = pytest.importorskip("pandas")
    first = seam.score(pair, ROWS, SETS)
    indexed = [{**row, "candidate_index": n} for row, n in zip(SETS, (0, 0, 1), strict=True)]
    for rows, sets in (
        (pa.Table.from_pylist(ROWS), pa.Table.from_pylist(indexed)),
        (pandas.DataFrame(ROWS, index=[5, 3]), pandas.DataFrame(SETS)),
        (iter(ROWS), {"a": ["Buy it.", "Boil it."], "b": ["For luck."]}),
    ):
        again = seam.score(pair, rows, sets)
        assert again.scores.equals(first.scores)
        assert again.candidate_scores.equals(first.candidate_scores)


def test_selection_by_scores_and_by_chance(pair: seam.Pair) -> None:
    scores = seam.score(pair, ROWS, SETS).scores
    low = min(scores.to_pylist(), key=lambda row: row["seam_prob"])["id"]
    kept = seam.select(ROWS, scores, rate=0.5, form="prob")
    assert [row["id"] for row in kept.to_pylist() if not row["kept"]] == [low]
    chance = seam.select(ROWS, method="random", rate=0.5, seed=3)
    assert chance["kept"].to_pylist().count(False) == 1


@pytest.mark.parametrize(
    ("rows", "sets", "sentence"),
    [
        (ROWS, {"a": ["x"]}, "rows: 1 ids of column id .'b' first. are not in candidates"),
        ([*ROWS, ROWS[0]], SETS, "rows: id 'a' appears 2 times"),
        (ROWS, [*SETS, {"id": "c", "candidate": "x"}], "candidates: 1 ids .*'c'"),
        ([], SETS, "rows: there are no rows"),
        ("text", SETS, "rows: a str is no table"),
        ([1, 2], SETS, "rows: a list is no table"),
        ([{"id": "a", "instruction": "x"}], SETS, "rows: column golden_response is missing"),
        (ROWS, [{**row, "candidate": 3} for row in SETS], "candidates: column candidate has int64 values"),
        ([{**ROWS[0], "instruction": None}, ROWS[1]], SETS, "rows: column instruction is null in 1 rows"),
    ],
)
def test_mistakes_are_one_sentence(pair: seam.Pair, rows: Any, sets: Any, sentence: str) -> None:
    with pytest.raises(SeamError, match=sentence) as caught:
        seam.score(pair, rows, sets)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_scored_is_null_with_a_reason(pair: seam.Pair) -> None:
    found = seam.score(pair, ROWS, {"a": [" ", ROWS[0]["golden_response"]], "b": []})
    assert found.scores["reason"].to_pylist() == [None, "no candidates"]
    empty, same = found.candidate_scores.to_pylist()
    assert empty["reason"] == "no likelihood: empty response"
    assert same["misjudgement"] == 0.0


def test_selection_refuses_what_makes_no_sense(pair: seam.Pair) -> None:
    with pytest.raises(SeamError, match="rate 2 is not between"):
        seam.select(ROWS, method="random", rate=2)
    with pytest.raises(SeamError, match="needs scores"):
        seam.select(ROWS)
    with pytest.raises(SeamError, match="no row for id 'b'"):
        seam.select(ROWS, seam.score(pair, ROWS[:1], {"a": ["x"]}).scores)


def test_selection_by_evidence_of_the_users_own() -> None:
    rows = [{**row, "id": n} for n, row in enumerate(ROWS)]
    kept = seam.select(rows, [{"id": 1, "seam_log": -2.0}, {"id": 0, "seam_log": -1.0}], rate=0.5)
    assert kept["kept"].to_pylist() == [True, False]
    hard = [{"id": 0, "perplexity": 90.0}, {"id": 1, "perplexity": 9.0}]
    assert seam.select(rows, method="perplexity", rate=0.5, perplexities=hard)["kept"].to_pylist() == [False, True]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"scores": [{"id": "a", "seam_log": -1.0}], "form": "prob"}, "SEAM scores: column seam_prob is missing"),
        ({"scores": [{"id": "a", "seam_log": "low"}]}, "column seam_log has string values"),
        ({"scores": [{"seam_log": -1.0}]}, "seam_scores: column id is missing"),
        ({"method": "length"}, "rows: column golden_response is missing"),
        ({"method": "random", "form": "sum"}, "form 'sum' is unknown"),
    ],
)
def test_odd_evidence_is_one_sentence(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SeamError, match=sentence):
        seam.select([{"id": "a", "instruction": "Why?"}], **arguments)
