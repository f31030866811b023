import pyarrow as pa
import pyarrow.compute as pc

from seam_pipeline.data import held_out, place, split_questions
from seam_pipeline.experiment import Splits
from seam_pipeline.tables import QUESTION_ANSWERS, SEGMENT_PAIRS, SEGMENT_QUESTIONS

SPLITS = Splits.model_validate({"dev": 0.1, "test": 0.3, "pairs_per_question": 2})


def posts(n: int, text: dict[int, str] | None = None) -> pa.Table:
    rows = [
        {"question_id": f"s:{q}", "instruction": (text or {}).get(q, f"I {q}"), "answer_id": f"s:{q}/{a}"}
        | {"response": f"R {q} {a}", "votes": a, "accepted": False, "score": a}
        for q in range(n) for a in range(3)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=QUESTION_ANSWERS)


def of(table: pa.Table, segment: str) -> pa.Table:
    return table.filter(pc.equal(table["segment"], segment)).drop_columns(["segment"])


def unseen(table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table["split"], "test"))


def test_the_segments_own_test_splits_come_out_unchanged() -> None:
    found, data = held_out(posts(400), SPLITS), split_questions(posts(400), SPLITS)
    assert found.questions.schema == SEGMENT_QUESTIONS
    assert found.pairs.schema == SEGMENT_PAIRS
    assert found.seen == 0
    assert of(found.pairs, "preference") == unseen(data.preference)
    for segment in ("sft", "rl"):
        rows = unseen(getattr(data, segment)).select(["id", "instruction", "golden_response"])
        assert of(found.questions, segment) == rows
        questions = of(found.pairs, segment)["question_id"].to_pylist()
        assert set(questions) == set(rows["id"].to_pylist())
        assert len(questions) == 2 * len(rows)  # of three pairs, pairs_per_question
    for row in found.pairs.to_pylist():
        assert row["chosen_score"] > row["rejected_score"]


def test_nothing_that_was_trained_on_comes_out() -> None:
    places = {q: place(f"s:{q}", SPLITS) for q in range(400)}
    test = next(q for q in places if places[q].split == "test")
    train = next(q for q in places if places[q].split == "train" and places[q].segment != places[test].segment)
    found = held_out(posts(400, {test: "the same words", train: "the same words"}), SPLITS)
    assert found.seen == 1
    asked = set(found.questions["id"].to_pylist())
    assert asked == {f"s:{q}" for q in places if places[q].split == "test"} - {f"s:{test}"}
    assert set(found.pairs["question_id"].to_pylist()) == asked
