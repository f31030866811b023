import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seam_pipeline.data import Kind, kind_of, split_questions
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Splits

from .dumps import read, simple_rows, write_dump

PAIRED = [
    {"qid": 1, "question": "Q one", "date": "2020/01/01", "metadata": ["https://Beer.SE.com/questions/1"]}
    | {"response_j": "good", "response_k": "bad"},
    {"qid": 1, "question": "Q one", "date": "2020/01/01", "metadata": ["https://beer.se.com/questions/1"]}
    | {"response_j": "best", "response_k": "good"},
    {"qid": 1, "question": "Q other site", "date": "", "metadata": ["https://wine.se.com/questions/1"]}
    | {"response_j": "yes", "response_k": "no"},
]


def levels(path: Path) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for row in read(path).question_answers.to_pylist():
        found.setdefault(row["question_id"], {})[row["response"]] = row["score"]
    return found


def write(path: Path, rows: list) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows, indent=1))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("ending", ["parquet", "json", "jsonl"])
def test_paired_rows(tmp_path: Path, ending: str) -> None:
    path = write(tmp_path / f"paired.{ending}", PAIRED)
    assert kind_of(path) == Kind(ending, "paired")  # type: ignore[arg-type]
    expected = {"beer.se.com:1": {"best": 2, "good": 1, "bad": 0}, "wine.se.com:1": {"yes": 1, "no": 0}}
    assert levels(path) == expected
    path.rename(tmp_path / "no_name_at_all")
    assert levels(tmp_path / "no_name_at_all") == expected


def test_a_folder_of_shards_is_one_source(tmp_path: Path) -> None:
    for n, row in enumerate(PAIRED):
        write(tmp_path / "data" / f"train-0000{n}-of-00003.parquet", [row])
    (tmp_path / "data" / "README.md").write_text("hello")
    (tmp_path / "data" / "infos.json").write_text('{\n "version": 1\n}')
    sources = read(tmp_path / "data")
    assert levels(tmp_path / "data")["beer.se.com:1"] == {"best": 2, "good": 1, "bad": 0}
    assert len(sources.summary["inputs"]) == 1
    assert [Path(name).name for name in sources.summary["passed_over"]] == ["infos.json"]


def test_without_qid_the_text_names_the_question(tmp_path: Path) -> None:
    rows = [{key: row[key] for key in ("question", "response_j", "response_k")} for row in PAIRED]
    one, two = write(tmp_path / "a.jsonl", rows[:1]), write(tmp_path / "b.json", rows[1:])
    (chain,) = [scores for name, scores in levels(one).items() if name.startswith("text:")]
    assert chain == {"good": 1, "bad": 0}
    both = read(one, two).question_answers
    assert len(set(both["question_id"].to_pylist())) == 2
    assert set(read(one).question_answers["question_id"].to_pylist()) < set(both["question_id"].to_pylist())


def test_own_rows(tmp_path: Path) -> None:
    rows = [
        {"id": "a", "instruction": "I1", "response": "only"},
        {"id": 7, "instruction": "I2", "chosen": "c", "rejected": "r"},
        {"instruction": "I3", "response": "x"},
        {"instruction": "I3", "response": "y"},
        {"id": 7, "instruction": "I2", "chosen": "top", "rejected": "c", "response": "top"},
    ]
    path = write(tmp_path / "mine.jsonl", rows)
    found = levels(path)
    assert found["mine:a"] == {"only": 0}
    assert found["mine:7"] == {"top": 2, "c": 1, "r": 0}
    assert [scores for name, scores in found.items() if name.startswith("text:")] == [{"x": 0, "y": 0}]
    everything = {"segments": {"sft": 1.0, "preference": 0.0, "rl": 0.0}}
    sft = split_questions(read(path).question_answers, Splits.model_validate(everything)).sft
    golden = {row["instruction"]: row["golden_response"] for row in sft.to_pylist()}
    assert golden == {"I1": "only", "I2": "top", "I3": "x"}


def test_malformed_rows(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    good = {"instruction": "I", "response": "R"}
    bad = [
        {"instruction": "", "response": "R"},
        {"instruction": "I"},
        {"instruction": "I", "chosen": "c"},
        {"instruction": "I", "chosen": "c", "rejected": " c "},
        {"instruction": "I", "chosen": "c", "rejected": "r", "response": "z"},
        {"instruction": 5, "response": "R"},
        {"id": ["x"], "instruction": "I", "response": "R"},
        {"instruction": "\ud800", "response": "R"},
        {"id": 1, "instruction": "A", "response": "R"},
        {"id": 1, "instruction": "B", "response": "R"},
        {"instruction": "loop", "chosen": "a", "rejected": "b"},
        {"instruction": "loop", "chosen": "b", "rejected": "a"},
        {"instruction": "loose", "chosen": "a", "rejected": "b"},
        {"instruction": "loose", "chosen": "c", "rejected": "d"},
        {"instruction": "long", "response": "R" * 5000},
    ]
    lines = [json.dumps(row) for row in [good, *bad]]
    path.write_text("\n".join([*lines, "[1]", "{broken", "", json.dumps(good)]))
    assert read(path).summary["skipped"] == {
        "answer: its rank among the others is not given": 2,
        "answer: longer than 4000 characters": 1,
        "question: no answer is left": 1,
        "row: both answers are the same": 1,
        "row: chosen and rejected must both be text": 1,
        "row: contradicts other rows of its question": 2,
        "row: its id belongs to another question's text": 1,
        "row: no response, or chosen and rejected, that is text": 1,
        "row: not a JSON object": 2,
        "row: not valid Unicode": 1,
        "row: response stands beside chosen and rejected without a rank among them": 1,
        "row: the id is neither text nor a whole number": 1,
        "row: the question is missing, empty or no text": 2,
    }


def test_truncated_files(tmp_path: Path) -> None:
    for ending in ("jsonl", "json", "parquet"):
        path = write(tmp_path / f"rows.{ending}", PAIRED * 20)
        path.write_bytes(path.read_bytes()[:-15])
        with pytest.raises(SeamError, match="truncated"):
            read(path)


UNKNOWN = [
    *[b"", b"hello world\n", b"a,b\n1,2\n", b"{}", b"[]", b'[{"a": 1}]', b'{"question": "q"}\n', b"\x89PNG\0\0", b"{"],
    *[b"<users></users>", b"<!DOCTYPE html><html></html>", b'"', b"[[1]]", b"7z\xbc\xaf\x27\x1c00", b"PAR1", b"nul\0l"],
    b"\xff\xfe<\0p\0",
]


@pytest.mark.parametrize("content", UNKNOWN)
def test_unknown_files_are_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.dat"
    path.write_bytes(content)
    with pytest.raises(SeamError) as caught:
        read(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert text.endswith(".")


def test_missing_paths_and_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SeamError, match="does not exist"):
        read(tmp_path / "nothing.xml")
    with pytest.raises(SeamError, match="no file from which posts"):
        read(tmp_path)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(SeamError, match="neither a file or folder here nor a data set that the hub gives"):
        read(Path("nobody-here/no-such-rows/data/reward"))


def test_kinds_mix(tmp_path: Path) -> None:
    write(tmp_path / "all" / "rows" / "mine.jsonl", [{"id": 10, "instruction": "I", "chosen": "c", "rejected": "r"}])
    write_dump(tmp_path / "all", simple_rows(3), "site")
    sources = read(tmp_path / "all")
    assert set(sources.question_answers["question_id"].to_pylist()) == {"site:10", "site:20", "site:30", "rows:10"}
    assert [source["questions"] for source in sources.summary["inputs"]] == [3, 1]
