"""The real dumps, joined a second time by plain dictionaries."""

import csv
import xml.etree.ElementTree as ET
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from seam_pipeline.data import answer_score, ingest, site_of

from .dumps import REAL, accounted, read, real

pytestmark = real

# Folder: questions, answers, and questions with answers of different votes, as the README beside the dumps says.
SITES = {
    "beer_2020-05": (1029, 2277, 542),
    "cardano_2021-12": (1042, 1496, 319),
    "quantumcomputing_2018-09": (612, 1060, 279),
    "matheducators_2014-05": (397, 1507, 302),
    "ai_2017-03": (604, 1004, 218),
    "history-meta_2023-12_csv": (786, 1459, 347),
}
UNLIMITED = {"max_response_chars": 10**9, "max_instruction_chars": 10**9}


def rows_of(folder: Path) -> Iterator[dict[str, str]]:
    if (folder / "Posts.xml").is_file():
        yield from (row.attrib for _, row in ET.iterparse(folder / "Posts.xml") if row.tag == "row")
    else:
        with (folder / "Posts.csv").open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)


@pytest.mark.parametrize("name", SITES)
def test_site_equals_a_naive_join(name: str) -> None:
    questions, answers = {}, defaultdict(list)
    for row in rows_of(REAL / name):
        if row["PostTypeId"] == "1":
            questions[row["Id"]] = row.get("AcceptedAnswerId")
        elif row["PostTypeId"] == "2":
            answers[row["ParentId"]].append((row["Id"], int(row["Score"])))
    site = site_of(REAL / name)
    expected, by_votes = {}, 0
    for number, accepted in questions.items():
        by_votes += len({votes for _, votes in answers[number]}) >= 2
        scores = {f"{site}:{i}": answer_score(votes, i == accepted) for i, votes in answers[number]}
        if len(set(scores.values())) >= 2:
            expected[f"{site}:{number}"] = scores
    sources = read(REAL / name, **UNLIMITED)
    found: dict[str, dict[str, int]] = {}
    for row in sources.question_answers.to_pylist():
        found.setdefault(row["question_id"], {})[row["answer_id"]] = row["score"]
        assert row["instruction"]
        assert row["response"]
    assert found == expected
    assert (len(questions), sum(map(len, answers.values())), by_votes) == SITES[name]
    assert accounted(sources.summary) == SITES[name][:2]


def test_all_folders_at_once(tmp_path: Path) -> None:
    summary = ingest([REAL], tmp_path / "out")
    assert {source["site"] for source in summary["inputs"]} >= {"beer", "history-meta", "paired_torchtune_tiny"}
    assert summary["questions"] == sum(source["questions"] for source in summary["inputs"]) > 1500
    assert all(count > 0 for splits in summary["splits"].values() for count in splits.values())
    assert summary["passed_over"] == [str(REAL / "beer_2020-05/Tags.xml")]


def test_paired_rows() -> None:
    sources = read(REAL / "paired_torchtune_tiny", **UNLIMITED)
    assert sources.summary["inputs"][0]["read"]["rows"] == 25
    assert sources.summary["questions"] == 8
    assert sources.summary["skipped"] == {"answer: its rank among the others is not given": 3}
    assert "```" in "".join(sources.question_answers["response"].to_pylist())
