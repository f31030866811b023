import hashlib
from itertools import combinations

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from seam_pipeline.data import place, split_questions
from seam_pipeline.experiment import Splits
from seam_pipeline.tables import PREFERENCE, QUESTION_ANSWERS, RL, SFT

DEFAULT = Splits.model_validate({})


def answers_of(question: str, scored: list[tuple[int, int]]) -> list[dict]:
    """One row per (votes, score)."""
    return [
        {"question_id": question, "instruction": f"I {question}", "answer_id": f"{question}/{n}"}
        | {"response": f"R {question} {n}", "votes": votes, "accepted": False, "score": score}
        for n, (votes, score) in enumerate(scored)
    ]


def table(questions: range, scored: list[tuple[int, int]] = [(0, 0), (9, 3), (3, 2)]) -> pa.Table:  # noqa: B006
    rows = [row for n in questions for row in answers_of(f"s:{n}", scored)]
    return pa.Table.from_pylist(rows, schema=QUESTION_ANSWERS)


def only(segment: str, **more: object) -> Splits:
    shares = {"sft": 0.0, "preference": 0.0, "rl": 0.0, segment: 1.0}
    return Splits.model_validate({"segments": shares, **more})


def test_place_is_what_the_docstring_says() -> None:
    digest = hashlib.sha256(b"seam\nbeer:1").hexdigest()
    spot = place("beer:1", DEFAULT)
    segment, split = int(digest[16:32], 16) / 2**64, int(digest[32:48], 16) / 2**64
    assert spot.order == digest
    assert spot.segment == ("sft" if segment < 0.4 else "preference" if segment < 0.8 else "rl")
    assert spot.split == ("dev" if split < 0.05 else "test" if split < 0.20 else "train")


def test_shares_come_out() -> None:
    spots = [place(f"q:{n}", DEFAULT) for n in range(20_000)]
    for segment, share in DEFAULT.segments.items():
        inside = [spot for spot in spots if spot.segment == segment]
        assert len(inside) / 20_000 == pytest.approx(share, abs=0.015)
        assert sum(s.split == "test" for s in inside) / len(inside) == pytest.approx(0.15, abs=0.02)
        assert sum(s.split == "dev" for s in inside) / len(inside) == pytest.approx(0.05, abs=0.015)
    first = sorted(spots)[:3000]  # the order says nothing about the segment
    assert sum(s.segment == "sft" for s in first) / 3000 == pytest.approx(0.4, abs=0.04)


def test_new_questions_move_no_old_one() -> None:
    before, after = split_questions(table(range(300)), DEFAULT), split_questions(table(range(900)), DEFAULT)
    for name in ("sft", "preference", "rl"):
        old, new = getattr(before, name).to_pylist(), getattr(after, name).to_pylist()
        known = {row["id"] for row in old}
        assert [row for row in new if row["id"] in known] == old
        assert len(new) > 2 * len(old)


def test_another_salt_is_another_division() -> None:
    other = Splits.model_validate({"salt": "pepper"})
    assert split_questions(table(range(100)), DEFAULT).sft != split_questions(table(range(100)), other).sft


def test_no_question_is_in_two_segments_and_row_order_does_not_matter() -> None:
    rows = table(range(400))
    sets = split_questions(rows, DEFAULT)
    shuffled = rows.take(pa.array(sorted(range(rows.num_rows), key=lambda n: hashlib.md5(b"%d" % n).digest())))
    assert split_questions(shuffled, DEFAULT) == sets
    groups = [set(sets.sft["id"].to_pylist()), set(sets.preference["question_id"].to_pylist())]
    groups.append(set(sets.rl["id"].to_pylist()))
    assert sum(map(len, groups)) == 400 == len(set.union(*groups))
    assert (sets.sft.schema, sets.preference.schema, sets.rl.schema) == (SFT, PREFERENCE, RL)
    assert sets.sft["id"].to_pylist() == sorted(sets.sft["id"].to_pylist(), key=lambda i: place(i, DEFAULT).order)
    keys = [hashlib.sha256(f"seam\n{i}".encode()).hexdigest() for i in sets.preference["id"].to_pylist()]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("scored", "golden", "worse"),
    [
        ([(0, 0), (9, 3), (3, 2)], 1, 0),
        ([(2, 2), (3, 2), (0, 0), (0, 0)], 1, 2),  # more votes win a tie; then the lower id
        ([(3, 2), (3, 2), (-2, -1), (-5, -1)], 0, 3),
        ([(3, 2), (3, 2)], 0, None),
        ([(3, 2)], 0, None),
    ],
)
def test_golden_and_worse(scored: list[tuple[int, int]], golden: int, worse: int | None) -> None:
    (row,) = split_questions(table(range(1), scored), only("rl")).rl.to_pylist()
    assert row["golden_response"] == f"R s:0 {golden}"
    assert row["worse_response"] == (None if worse is None else f"R s:0 {worse}")
    (row,) = split_questions(table(range(1), scored), only("sft")).sft.to_pylist()
    assert row["golden_response"] == f"R s:0 {golden}"


def test_lower_ids_are_compared_as_numbers() -> None:
    scored = [(0, 0)] + [(3, 2)] * 11  # answers s:0/1 ... s:0/11 are equal: /1 is the lowest, and /2 before /10
    rows = table(range(1), scored).to_pylist()
    without = [row for row in rows if row["answer_id"] != "s:0/1"]
    (row,) = split_questions(pa.Table.from_pylist(without, schema=QUESTION_ANSWERS), only("sft")).sft.to_pylist()
    assert row["golden_response"] == "R s:0 2"


def test_pairs() -> None:
    scored = [(0, 0), (1, 1), (3, 2), (3, 2), (9, 3)]
    full = split_questions(table(range(1), scored), only("preference", pairs_per_question=100)).preference.to_pylist()
    expected = {
        (f"R s:0 {max(a, b, key=lambda n: scored[n][1])}", f"R s:0 {min(a, b, key=lambda n: scored[n][1])}")
        for a, b in combinations(range(5), 2)
        if scored[a][1] != scored[b][1]
    }
    assert {(row["chosen"], row["rejected"]) for row in full} == expected
    assert len(full) == 9
    assert all(row["chosen_score"] > row["rejected_score"] for row in full)
    assert {row["id"] for row in full} == {f"s:0:{n}" for n in range(9)}
    few = split_questions(table(range(1), scored), only("preference", pairs_per_question=4)).preference.to_pylist()
    assert few == [row for row in full if row["id"] in {f"s:0:{n}" for n in range(4)}]


def test_equal_scores_make_no_pair() -> None:
    assert split_questions(table(range(5), [(3, 2), (2, 2)]), only("preference")).preference.num_rows == 0
    assert split_questions(QUESTION_ANSWERS.empty_table(), DEFAULT).rl.num_rows == 0


def test_splits_of_all_sets_are_named() -> None:
    for data in split_questions(table(range(600)), DEFAULT):
        assert set(pc.unique(data["split"]).to_pylist()) == {"train", "dev", "test"}
