from pathlib import Path

import py7zr
import pyarrow.compute as pc
import pytest

from seam_pipeline.data import answer_score
from seam_pipeline.errors import SeamError
from seam_pipeline.tables import QUESTION_ANSWERS

from .dumps import accounted, answer, posts_xml, question, read, simple_rows, write_dump

HAND = [
    question(1, title="How & why?", body="<p>Say <code>x</code></p>", accepted=12),
    answer(11, 1, 9),
    answer(12, 1, 5),
    answer(13, 1, -3, "<p>No.</p>"),
    answer(14, 1, 0),
    question(2),
    answer(21, 2, 0),
    question(3),
    question(4),
    answer(41, 4, 2),
    answer(42, 4, 3),  # the same score as 41
    '<row Id="50" PostTypeId="4" Body="wiki" />',
    answer(60, 999, 4),
]


def test_hand_made_dump(tmp_path: Path) -> None:
    sources = read(write_dump(tmp_path, HAND, "beer_2020-05"))
    table = sources.question_answers
    assert table.schema == QUESTION_ANSWERS
    assert set(table["instruction"].to_pylist()) == {"How & why?\n\nSay `x`"}
    found = [tuple(row.values()) for row in table.select(["answer_id", "votes", "accepted", "score"]).to_pylist()]
    # 12: round(log2 6) = 3, + 1 accepted; 11: round(log2 10) = 3; 14: log2 1 = 0; 13: negative
    assert found == [
        ("beer:12", 5, True, 4),
        ("beer:11", 9, False, 3),
        ("beer:14", 0, False, 0),
        ("beer:13", -3, False, -1),
    ]
    assert sources.summary["skipped"] == {
        "answer: its question is not there": 1,
        "answer: its question is skipped": 3,
        "post: neither a question nor an answer": 1,
        "question: all answers have the same score": 1,
        "question: no answers": 1,
        "question: one answer only": 1,
    }
    assert accounted(sources.summary) == (4, 8)
    assert sources.summary["inputs"][0]["read"] == {"questions": 4, "answers": 8, "rows": 0, "skipped": 1}


def test_malformed_rows_are_counted_by_reason(tmp_path: Path) -> None:
    bad = [
        "<comment />",
        '<row PostTypeId="1" Title="no id" Body="b" />',
        '<row Id="x7" PostTypeId="1" Title="t" Body="b" />',
        '<row Id="70" Title="no type" Body="b" />',
        '<row Id="71" PostTypeId="1" Title=" " Body="" />',
        '<row Id="72" PostTypeId="2" Score="1" Body="no parent" />',
        '<row Id="73" PostTypeId="2" ParentId="10" Body="no score" />',
        answer(74, 10, "1e3"),
        answer(75, 10, 4, ""),
        answer(76, 10, 4, "<p> </p>"),
        '<row Id="77" PostTypeId="2" Body="a < b" />',
        answer(11, 10, 9),
        question(10, title="again"),
        answer(78, 10, "9" * 30),
    ]
    sources = read(write_dump(tmp_path, [*simple_rows(2), *bad]))
    assert sources.summary["skipped"] == {
        "answer: ParentId is missing or no whole number": 1,
        "answer: Score is missing or no whole number": 3,
        "answer: empty": 2,
        "answer: its id comes twice": 1,
        "post: Id or PostTypeId is missing or no whole number": 3,
        "post: an element that is no row": 1,
        "post: not well-formed XML": 1,
        "question: empty": 1,
        "question: its id comes twice": 1,
    }
    assert sources.question_answers.num_rows == 4
    assert "again" not in str(sources.question_answers["instruction"].to_pylist())


def test_long_texts_are_skipped_after_conversion(tmp_path: Path) -> None:
    long = f"<p>{'y' * 50}</p>"
    rows = [
        *[question(1), answer(11, 1, 0), answer(12, 1, 5), answer(13, 1, 9, long)],
        *[question(2, body=long), answer(21, 2, 0), answer(22, 2, 5)],
        *[question(3), answer(31, 3, 0), answer(32, 3, 5, long)],
    ]
    sources = read(write_dump(tmp_path, rows), max_response_chars=49, max_instruction_chars=49)
    assert set(sources.question_answers["answer_id"].to_pylist()) == {"site:11", "site:12"}
    assert sources.summary["skipped"] == {
        "answer: its question is skipped": 3,
        "answer: longer than 49 characters": 2,
        "question: longer than 49 characters": 1,
        "question: too few answers are left": 1,
    }
    assert accounted(sources.summary) == (3, 7)


def test_sites_do_not_collide_and_editions_agree(tmp_path: Path) -> None:
    paths = [write_dump(tmp_path, simple_rows(3), site) for site in ("beer_2020-05", "wine.stackexchange.com")]
    ids = set(read(*paths).question_answers["question_id"].to_pylist())
    assert ids == {f"{site}:{n}0" for site in ("beer", "wine.stackexchange.com") for n in (1, 2, 3)}
    assert read(tmp_path).question_answers == read(*paths).question_answers
    newer = read(write_dump(tmp_path / "new", simple_rows(5), "beer_2024-11-30"))
    assert {f"beer:{n}0" for n in (1, 2, 3)} < set(newer.question_answers["question_id"].to_pylist())


def test_two_editions_of_a_site_are_refused(tmp_path: Path) -> None:
    paths = [write_dump(tmp_path, simple_rows(1), site) for site in ("beer_2020-05", "beer_2021-05")]
    with pytest.raises(SeamError, match="both dumps of 'beer'"):
        read(*paths)
    with pytest.raises(SeamError, match="given twice"):
        read(paths[0], paths[0])


def test_max_questions_takes_a_sample_that_grows(tmp_path: Path) -> None:
    path = write_dump(tmp_path, simple_rows(50))
    few, more = (set(read(path, max_questions=n).question_answers["question_id"].to_pylist()) for n in (10, 20))
    assert (len(few), len(more)) == (10, 20)
    assert few < more
    sources = read(path, max_questions=10)
    assert sources.summary["skipped"]["question: beyond max_questions"] == 40
    assert accounted(sources.summary) == (50, 100)
    other = {"salt": "another"}
    assert read(path, max_questions=10, splits=other).question_answers == sources.question_answers


def test_archive(tmp_path: Path) -> None:
    path = write_dump(tmp_path, HAND, "inside")
    packed = tmp_path / "beer_2020-05.7z"
    with py7zr.SevenZipFile(packed, "w") as archive:
        archive.writestr("<tags />", "Tags.xml")
        archive.write(path, "Posts.xml")
    plain = read(write_dump(tmp_path, HAND, "beer"))
    packed_too = read(packed)
    assert packed_too.question_answers == plain.question_answers
    assert packed_too.summary["skipped"] == plain.summary["skipped"]
    cut = tmp_path / "cut.7z"
    cut.write_bytes(packed.read_bytes()[:-40])
    with pytest.raises(SeamError, match=r"cut\.7z is truncated"):
        read(cut)


def test_archives_that_help_nothing(tmp_path: Path) -> None:
    without, secret, bomb = (tmp_path / name for name in ("tags.7z", "secret.7z", "bomb.7z"))
    with py7zr.SevenZipFile(without, "w") as archive:
        archive.writestr("<tags />", "Tags.xml")
    with pytest.raises(SeamError, match=r"holds no Posts\.xml"):
        read(without)
    with py7zr.SevenZipFile(secret, "w", password="x", header_encryption=True) as archive:
        archive.writestr(posts_xml(HAND).decode(), "Posts.xml")
    with pytest.raises(SeamError, match="password"):
        read(secret)
    with py7zr.SevenZipFile(bomb, "w") as archive:
        archive.writestr('<!DOCTYPE posts [<!ENTITY a "ha">]><posts />', "Posts.xml")
    with pytest.raises(SeamError, match="document type"):
        read(bomb)


def test_csv_says_the_same_as_xml(tmp_path: Path) -> None:
    header = "ParentId,AcceptedAnswerId,Score,Body,Title,Id,PostTypeId\n"
    rows = [
        ',12.0,3,"<p>Say\n<code>x</code>, ""now""</p>",How?,1,1',
        '1,,9,"<p>Answer, 11</p>",,11,2',
        "1,,5,Answer 12,,12,2.0",
        "1,,x,Answer 13,,13,2",
        "too,short",
    ]
    path = tmp_path / "beer_csv" / "Posts.csv"
    path.parent.mkdir()
    path.write_bytes(b"\xef\xbb\xbf" + (header + "\n".join(rows) + "\n").encode() + b"1,,1,caf\xe9,,14,2\n")
    sources = read(path)
    first = sources.question_answers.to_pylist()[0]
    assert (first["instruction"], first["answer_id"], first["score"]) == ('How?\n\nSay `x`, "now"', "beer:12", 4)
    assert sources.summary["skipped"] == {
        "answer: Score is missing or no whole number": 1,
        "answer: not valid Unicode": 1,
        "row: wrong number of columns": 1,
    }
    for cut, says in (
        (header + rows[0] + "\n" + rows[1][:12], "quoted field"),
        (header + rows[0] + "\n1,,", "last row"),
    ):
        path.write_text(cut)
        with pytest.raises(SeamError, match=f"truncated: .*{says}"):
            read(path)


def test_a_new_answer_changes_only_its_question(tmp_path: Path) -> None:
    before = read(write_dump(tmp_path, simple_rows(5))).question_answers
    after = read(write_dump(tmp_path, [*simple_rows(5), answer(19, 10, 100)])).question_answers
    rest = after.filter(pc.not_equal(after["answer_id"], "site:19"))
    assert rest == before
    assert answer_score(100, accepted=False) in after["score"].to_pylist()
