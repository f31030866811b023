import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from seam_pipeline.data import _ingest, _stage, ingest, read_sources, split_questions
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import FileData
from seam_pipeline.tables import PREFERENCE, QUESTION_ANSWERS, RL, SFT

from .dumps import answer, posts_xml, question, simple_rows, write_dump

SCHEMAS = {"sft": SFT, "preference": PREFERENCE, "rl": RL}


def written(out: Path) -> dict[str, bytes]:
    return {file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*") if file.is_file()}


def test_writes_what_split_questions_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_ingest, "_QUESTIONS_AT_ONCE", 7)
    path = write_dump(tmp_path, simple_rows(120))
    steps: list[tuple[int, int]] = []
    summary = ingest([path], tmp_path / "out", progress=lambda done, total: steps.append((done, total)))
    settings = FileData.model_validate({"source": "files", "paths": (str(path),)})
    sources = read_sources(settings)
    assert pq.read_table(tmp_path / "out/question_answers.parquet") == sources.question_answers
    expected = split_questions(sources.question_answers, settings.splits)
    for name, schema in SCHEMAS.items():
        for split in ("train", "dev", "test"):
            table = pq.read_table(tmp_path / "out" / name / f"{split}.parquet")
            data = getattr(expected, name)
            assert table == data.filter(pc.equal(data["split"], split))
            assert table.schema == schema
            assert summary["splits"][name][split] == table.num_rows
    assert summary == json.loads((tmp_path / "out/summary.json").read_text()) | {}
    assert summary["questions"] == 120 == sum(summary["questions_by_segment"][n] for n in SCHEMAS)
    assert summary["pairs"] == expected.preference.num_rows
    assert summary["inputs"][0]["files"] == [{"name": str(path), "bytes": path.stat().st_size}]
    assert steps == sorted(steps)
    assert steps[-1] == (1000, 1000)
    assert pq.read_schema(tmp_path / "out/question_answers.parquet") == QUESTION_ANSWERS


def test_is_deterministic_and_replaces_its_own_output(tmp_path: Path) -> None:
    path, out = write_dump(tmp_path, simple_rows(60)), tmp_path / "out"
    ingest([path], out)
    first = written(out)
    ingest([path], out)
    assert written(out) == first
    write_dump(tmp_path, simple_rows(90))
    assert ingest([path], out)["questions"] == 90
    assert {file.name for file in tmp_path.iterdir()} == {"site", "out"}


def test_refuses_to_replace_what_it_did_not_write(tmp_path: Path) -> None:
    path, out = write_dump(tmp_path, simple_rows(9)), tmp_path / "out"
    out.mkdir()
    ingest([path], out)
    (out / "notes.txt").write_text("mine")
    with pytest.raises(SeamError, match=r"notes\.txt"):
        ingest([path], out)
    assert (out / "notes.txt").read_text() == "mine"
    with pytest.raises(SeamError, match="is a file"):
        ingest([path], out / "notes.txt")


@pytest.mark.parametrize("content", [posts_xml(simple_rows(50))[:-30], b"<!DOCTYPE posts><posts />", posts_xml([])])
@pytest.mark.parametrize("with_a_good_one", [False, True])
def test_a_refused_input_leaves_nothing_half_written(tmp_path: Path, content: bytes, with_a_good_one: bool) -> None:
    good, bad, out = write_dump(tmp_path, simple_rows(9)), tmp_path / "bad.xml", tmp_path / "out"
    ingest([good], out)
    before = written(out)
    bad.write_bytes(content)
    if with_a_good_one and content == posts_xml([]):
        assert ingest([good, bad], out)["questions"] == 9  # an empty site beside another is no mistake
        return
    for target in (out, tmp_path / "new"):
        with pytest.raises(SeamError):
            ingest([good, bad] if with_a_good_one else [bad], target)
    assert written(out) == before
    assert {file.name for file in tmp_path.iterdir()} == {"site", "bad.xml", "out"}


def test_adding_posts_moves_no_question(tmp_path: Path) -> None:
    def places(out: Path) -> dict[str, str]:
        return {
            identifier: file
            for file in written(out)
            if file.count("/")
            for identifier in pq.read_table(out / file).column(1 if "preference" in file else 0).to_pylist()
        }

    ingest([write_dump(tmp_path / "old", simple_rows(80), "beer_2020-05")], tmp_path / "one")
    ingest([write_dump(tmp_path / "new", simple_rows(240), "beer_2024-11")], tmp_path / "two")
    before, after = places(tmp_path / "one"), places(tmp_path / "two")
    assert len(before) == 80
    assert len(after) == 240
    assert before.items() <= after.items()


@pytest.mark.slow
def test_posts_larger_than_memory_are_joined_in_buckets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[str] = []
    for n in range(10, 60_000, 10):
        text = f"{n} " * (3900 // len(f"{n} "))
        rows += [question(n, text), answer(n + 1, n, 0, text), answer(n + 2, n, 5, text)]
    path = write_dump(tmp_path, rows)
    assert path.stat().st_size > 64 << 20
    whole = ingest([path], tmp_path / "whole")
    with pytest.raises(SeamError, match="more than 48MB of memory"):  # it all lies in one bucket
        ingest([path], tmp_path / "refused", memory="48MB")
    assert not (tmp_path / "refused").exists()
    for module in (_stage, _ingest):
        monkeypatch.setattr(module, "buckets_for", lambda _: 8)
    assert ingest([path], tmp_path / "parts", memory="48MB") == whole
    assert written(tmp_path / "parts") == written(tmp_path / "whole")


def test_import_is_cheap() -> None:
    heavy = ("duckdb", "lxml", "pyarrow", "py7zr", "datasets")
    code = f"import sys, seam_pipeline.data; sys.exit(any(m in sys.modules for m in {heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert isinstance(QUESTION_ANSWERS, pa.Schema)


@pytest.mark.parametrize("buckets", [2, 7, 256])
def test_the_number_of_buckets_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buckets: int) -> None:
    posts = write_dump(tmp_path, [*simple_rows(80), answer(3, 999_999, 1), answer(4, 10, 1), answer(4, 10, 1)])
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"instruction": "I{n}", "chosen": "c", "rejected": "r"}}\n' for n in range(80)))
    settings = FileData.model_validate({"source": "files", "paths": ("-",), "max_questions": 50})
    for chosen in (None, settings):
        whole = ingest([posts, rows], tmp_path / "whole", chosen)
        with monkeypatch.context() as patch:
            for module in (_stage, _ingest):
                patch.setattr(module, "buckets_for", lambda _: buckets)
            assert ingest([posts, rows], tmp_path / "parts", chosen) == whole
        assert whole["questions"] == (160 if chosen is None else 100)
        assert written(tmp_path / "parts") == written(tmp_path / "whole")
