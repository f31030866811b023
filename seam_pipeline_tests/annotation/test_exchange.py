"""CSV and Label Studio's JSON, out and in."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from seam_pipeline.annotation._judgement import Judgement
from seam_pipeline.annotation.csv_file import read_csv, write_csv
from seam_pipeline.annotation.label_studio import CONFIG, read_tasks, write_tasks
from seam_pipeline.annotation.pairs import Pair
from seam_pipeline.annotation.store import AnnotationStore
from seam_pipeline.annotation.taking_up import matched, take_up
from seam_pipeline.errors import SeamError

from .made import judged, pairs

TWIN = Pair("twin", "same?", "same", "same", {"source_1": 'a,b\n"c"'})


def all_kinds() -> list[Judgement]:
    one, two, three, *_ = pairs()
    return [
        judged(one, "ann", "1"),
        judged(one, "Bob Ö. <b>", "2", 1, 'said "no", twice\nand, again'),
        judged(two, "ann", "tie", 2, "hm"),
        judged(three, "bob@x.org", "2", 3)._replace(seconds=None, left="2"),
        judged(TWIN, "ann", "2", 4),
    ]


def test_csv_round_trip(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    write_csv(file, all_kinds(), [*pairs(), TWIN])
    assert read_csv(file) == all_kinds()
    rows = list(csv.DictReader(file.open(encoding="utf-8", newline="")))
    assert [row["source_1"] for row in rows] == ["GPT"] * 4 + [TWIN.extra["source_1"]]


def test_csv_of_others_needs_three_columns(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes("\ufeffid,annotator,choice,colour\r\nq0, ann ,tie,red\r\nq1,ann,2,\r\n".encode())
    assert [(one.id, one.annotator, one.choice, one.pair) for one in read_csv(file)] == [
        ("q0", "ann", "tie", None),
        ("q1", "ann", "2", None),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "column id is missing"),
        ("id,annotator\nq,a\n", "column choice is missing"),
        ("id,annotator,choice\nq,a,A\n", "row 1: choice is 'A'; it must be 1, 2 or tie"),
        ("id,annotator,choice\nq,a,1\nq,,1\n", "row 2: annotator is empty"),
        ("id,annotator,choice\n,a,1\n", "row 1: id is empty"),
        ("id,annotator,choice,seconds\nq,a,1,soon\n", "seconds is 'soon'"),
        ("id,annotator,choice,seconds\nq,a,1,nan\n", "seconds is 'nan'"),
        ("id,annotator,choice,left\nq,a,1,L\n", "left is 'L'"),
    ],
)
def test_bad_csv_is_one_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "a.csv"
    file.write_text(text)
    with pytest.raises(SeamError, match=sentence):
        read_csv(file)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_label_studio_round_trip(tmp_path: Path, seed: int) -> None:
    file, known = tmp_path / "tasks.json", [*pairs(), TWIN]
    assert write_tasks(file, all_kinds(), known, seed).read_text() == CONFIG
    found = read_tasks(file, known)
    assert found.skipped == {}

    def said(rows: list[Judgement]) -> set[Judgement]:
        return {row._replace(left=None) for row in rows}  # the task's sides are not the page's

    assert said(found.judgements) == said(all_kinds())
    tasks = json.loads(file.read_text())
    assert len(tasks) == len(known)
    for task in tasks:
        for text in ("GPT", "q0", "response_1", "source"):
            assert text not in json.dumps(task["data"])


def test_an_annotation_is_what_label_studio_writes(tmp_path: Path) -> None:
    file, (one, *_) = tmp_path / "tasks.json", pairs()
    write_tasks(file, [judged(one, "ann", "1")], [one], 0)
    (task,) = json.loads(file.read_text())
    side = "left" if task["data"]["left"] == "good 0" else "right"
    (annotation,) = task["annotations"]
    assert annotation["result"][0] == {
        "id": "preference", "from_name": "preference", "to_name": "preference", "type": "pairwise",
        "value": {"selected": side},
    }  # fmt: skip
    assert (annotation["lead_time"], annotation["was_cancelled"], annotation["ground_truth"]) == (2.5, False, False)
    assert "completed_by" not in annotation


def exported(pair: Pair, *annotations: dict[str, Any]) -> list[dict[str, Any]]:
    """As Label Studio exports a task that was annotated there."""
    data = {"pair": pair.key, "instruction": pair.instruction, "left": pair.response_2, "right": pair.response_1}
    times = {"created_at": "2026-02-01T10:00:00.5+01:00", "lead_time": 4.2888}
    return [
        {"id": 5, "data": data, "annotations": [{"id": 9, "was_cancelled": False, **times, **a} for a in annotations]}
    ]


def selected(side: str) -> dict[str, Any]:
    return {"value": {"selected": side}, "id": "x1", "from_name": "pw", "to_name": "pw", "type": "pairwise"}


def test_label_studios_own_export(tmp_path: Path) -> None:
    file, pair = tmp_path / "export.json", pairs()[0]
    unsure = {
        "value": {"choices": ["cannot tell"]},
        "from_name": "cannot_tell",
        "to_name": "instruction",
        "type": "choices",
    }
    tasks = exported(
        pair,
        {"completed_by": 7, "result": [selected("left")]},
        {
            "completed_by": {"id": 8, "email": "eve@x.org"},
            "result": [selected("right")],
            "updated_at": "2026-02-03T00:00:00Z",
        },
        {"completed_by": 9, "result": [unsure]},
        {"completed_by": 10, "result": [unsure, selected("left")]},
        {"completed_by": 10, "result": []},
        {"completed_by": 10, "result": [], "was_cancelled": True},
        {"result": [selected("left")]},
    )
    file.write_text(json.dumps(tasks))
    found = read_tasks(file, [pair])
    assert [(one.annotator, one.choice, one.left) for one in found.judgements] == [
        ("user 7", "2", "2"),
        ("eve@x.org", "1", "2"),
        ("user 9", "tie", "2"),
    ]
    assert [one.at[:19] for one in found.judgements] == [
        f"2026-02-0{day}" for day in ("1T09:00:00", "3T00:00:00", "1T09:00:00")
    ]
    assert {one.seconds for one in found.judgements} == {4.289}
    assert found.skipped == {"without one choice": 2, "skipped by the annotator": 1, "without an annotator": 1}


def test_other_json_is_one_sentence(tmp_path: Path) -> None:
    file, pair = tmp_path / "export.json", pairs()[0]
    changed = exported(pair)
    changed[0]["data"]["left"] = "edited"
    for content, sentence in (
        ("{", "can't be read as JSON"),
        ('[{"left": "x", "preference": "left"}]', "not as JSON-MIN"),
        (json.dumps(exported(pairs()[1])), "task 1: its data.pair is none of the pairs"),
        (json.dumps(changed), "task 1: the texts of 'q0' have been changed"),
        (json.dumps([exported(pair)[0] | {"annotations": [{"result": "left"}]}]), "annotations must be a list"),
    ):
        file.write_text(content)
        with pytest.raises(SeamError, match=sentence):
            read_tasks(file, [pair])


def test_importing_twice_adds_nothing(tmp_path: Path) -> None:
    store = AnnotationStore(tmp_path / "a.sqlite", make=True)
    one = pairs()[0]
    history = [judged(one, "ann", "1", 1), judged(one, "ann", "2", 2), judged(one, "ann", "1", 3)]
    assert take_up(store, history) == 3
    assert take_up(store, history) == 0
    assert take_up(store, [judged(one, "ann", "1", 9)]) == 0  # says what stands, at another time
    assert take_up(store, [judged(one, "ann", "tie", 2)]) == 1  # older: history
    assert [row.choice for row in store.judgements()] == ["1"]


def test_only_judgements_of_these_texts_are_taken(tmp_path: Path) -> None:
    one, two, *_ = pairs()
    with pytest.raises(SeamError, match="id 'q1' is none of the pairs"):
        matched([judged(two, "ann", "1")], [one], tmp_path)
    with pytest.raises(SeamError, match="id 'q0' was judged with other texts"):
        matched([judged(one, "ann", "1")], [one._replace(response_1="x")], tmp_path)
    assert matched([judged(one, "ann", "1")._replace(pair=None)], [one], tmp_path) == [judged(one, "ann", "1")]
