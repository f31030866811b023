import pyarrow as pa
import pytest

from seam_pipeline import tables
from seam_pipeline.candidates.contrast import contrast_candidates
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Contrast

TOPICS = ["beer", "wine", "bread", "cheese", "tea", "soup", "cake", "rice"]
POOL = pa.table(
    {
        "id": [f"p{i}" for i in range(len(TOPICS))],
        "instruction": [f"How do I store {topic} at home?" for topic in TOPICS],
        "golden_response": [
            f"Keep the {topic} cool and dark, away from the stove, number {topic}." for topic in TOPICS
        ],
    }
)


def rl(id: str, instruction: str, golden: str) -> pa.Table:
    return pa.table({"id": [id], "instruction": [instruction], "golden_response": [golden]})


WIDE = Contrast(low=0.2, high=0.9999)


def test_nearest_first_with_similarity_and_reason_for_a_short_set() -> None:
    table = contrast_candidates(rl("q", "How do I store coffee at home?", "In a tin."), POOL, WIDE, 30)
    assert table.schema == tables.CANDIDATES
    rows = table.to_pylist()
    assert [r["candidate_index"] for r in rows] == [0, 1, 2, 3, 4, 5, 6, 7, -1]
    similarities = [r["similarity"] for r in rows[:-1]]
    assert similarities == sorted(similarities, reverse=True)
    assert rows[0]["source"] == "p4"  # tea is what resembles coffee most
    assert rows[-1]["reason"] == "8 of 30: only 8 different answers in the band [0.2, 0.9999]"
    assert rows[-1]["candidate"] is None


def test_a_full_set_has_no_reason() -> None:
    table = contrast_candidates(rl("q", "How do I store coffee at home?", "In a tin."), POOL, WIDE, 3)
    assert table["candidate_index"].to_pylist() == [0, 1, 2]


def test_the_question_itself_and_its_golden_answer_are_left_out() -> None:
    same_id = rl("p0", "Where should beer be kept?", "Cellar.")
    same_text = rl("q", "how do I store  wine at home", "Cellar.")
    same_answer = rl(
        "q", "How do I store milk at home?", "KEEP the bread cool and dark - away from the stove, number bread"
    )
    sources = [
        contrast_candidates(x, POOL, WIDE, 30)["source"].to_pylist()[:-1] for x in (same_id, same_text, same_answer)
    ]
    assert [set(POOL["id"].to_pylist()) - set(s) for s in sources] == [{"p0"}, {"p1"}, {"p2"}]


def test_repeated_answers_do_not_crowd_out_others() -> None:
    """A hundred nearer neighbours all give one answer; three others are still found."""
    many = pa.table(
        {
            "id": [f"d{i}" for i in range(100)],
            "instruction": [f"How do I store beer at home, take {i}?" for i in range(100)],
            "golden_response": [f"Keep it cool{'!' * (i % 3)}" for i in range(100)],
        }
    )
    pool = pa.concat_tables([many, POOL])
    table = contrast_candidates(rl("q", "How do I store beer at home, take 1000?", "Cellar."), pool, WIDE, 4)
    assert table.num_rows == 4
    assert len({c.rstrip("!") for c in table["candidate"].to_pylist()}) == 4


def test_max_pool_is_a_fixed_sample() -> None:
    settings = Contrast(low=-1, high=0.9999, max_pool=3)
    query = rl("q", "How do I store coffee at home?", "In a tin.")
    first = contrast_candidates(query, POOL, settings, 30)
    reversed_pool = POOL.take(list(range(POOL.num_rows))[::-1])
    assert first.num_rows == 4
    assert first.equals(contrast_candidates(query, reversed_pool, settings, 30))


def test_empty_pool_is_an_error() -> None:
    with pytest.raises(SeamError, match="pool has no rows"):
        contrast_candidates(rl("q", "a", "b"), POOL.slice(0, 0), WIDE, 3)
