from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from seam_pipeline.audit._prompts import content_ids, read_pool, read_prompts, topics_of
from seam_pipeline.errors import SeamError

from .rows import jsonl, prompts


def test_only_two_columns_are_needed(tmp_path: Path) -> None:
    rows = [{"instruction": "a?", "golden_response": "b"}, {"instruction": "c?", "golden_response": "d"}]
    found = read_prompts(jsonl(tmp_path / "p.jsonl", [*rows, rows[0]]))
    assert found.table.column_names == ["id", "instruction", "golden_response", "worse_response"]
    assert found.table["worse_response"].null_count == 3
    assert found.topics is None
    first, second, again = found.ids
    assert again == f"{first}-2"
    more = [{"instruction": "e?", "golden_response": "f"}, *rows]
    assert read_prompts(jsonl(tmp_path / "p.jsonl", more)).ids[1:] == [first, second]


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "p.jsonl", [{"prompt": "a?", "chosen": "b", "rejected": "c", "qid": 7}])
    names = {"id": "qid", "instruction": "prompt", "golden_response": "chosen", "worse_response": "rejected"}
    assert read_prompts(path, names).table.to_pylist() == [
        {"id": "7", "instruction": "a?", "golden_response": "b", "worse_response": "c"}
    ]
    assert read_pool(path, names).column_names == ["id", "instruction", "golden_response"]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"prompt": "a"}], "column instruction is missing .found: prompt"),
        ([{"instruction": "a", "golden_response": None}], "column golden_response is null in 1 rows"),
        ([{"id": 1, "instruction": "a", "golden_response": "b"}] * 2, "id '1' appears 2 times"),
        ([{"instruction": "a", "golden_response": 3}], "column golden_response has int64 values"),
        ([], "there are no rows"),
        ([{"instruction": "half \ud83c", "golden_response": "b"}], "column instruction holds half a character"),
    ],
)
def test_faults_are_one_sentence(tmp_path: Path, rows: list[dict[str, object]], sentence: str) -> None:
    with pytest.raises(SeamError, match=sentence) as caught:
        read_prompts(jsonl(tmp_path / "p.jsonl", rows))
    assert "\n" not in str(caught.value)


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "p.jsonl", prompts())
    with pytest.raises(SeamError, match="no column nowhere"):
        read_prompts(path, {"instruction": "nowhere"})
    with pytest.raises(SeamError, match="no column nowhere for topics"):
        read_prompts(path, topic_column="nowhere")


def test_topics_come_from_the_datas_own_column(tmp_path: Path) -> None:
    assert read_prompts(jsonl(tmp_path / "p.jsonl", prompts())).topics == [
        ("ale",), ("stout",), ("ale",), ("hops",), ("stout",), ("ale",),
    ]  # fmt: skip
    tagged = jsonl(tmp_path / "t.jsonl", prompts(mine=[["a", "b"], [], None, ["a", "a"], ["c"], ["b"]]))
    found = read_prompts(tagged, topic_column="mine")
    assert found.topics == [("a", "b"), (), (), ("a",), ("c",), ("b",)]
    assert topics_of("<beer><home brew>") == ("beer", "home brew")
    assert topics_of(" ale ") == ("ale",)
    assert topics_of("") == ()


def test_kept_lines_are_copied_as_they_are(tmp_path: Path) -> None:
    lines = [
        '{"instruction":"é?",  "golden_response": "b", "extra": [1, {"x": null}]}',
        "",
        '{"instruction": "a", "golden_response": "b"}',
    ]
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    found = read_prompts(path)
    assert found.write_kept([True, False], tmp_path, "kept").read_text("utf-8") == lines[0] + "\n"
    assert found.write_kept([False, True], tmp_path, "kept").read_text("utf-8") == lines[2] + "\n"


def test_kept_parquet_rows_keep_all_columns(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(prompts(extra=[[n] for n in range(6)]))
    pq.write_table(table, tmp_path / "p.parquet")
    found = read_prompts(tmp_path / "p.parquet")
    kept = pq.read_table(found.write_kept([False, True] * 3, tmp_path, "kept"))
    assert kept.equals(table.take([1, 3, 5]))


def test_content_ids_depend_on_both_texts() -> None:
    table = pa.table({"instruction": ["a", "a", "ab"], "golden_response": ["bc", "c", "c"]})
    assert len(set(content_ids(table))) == 3
