from pathlib import Path

import pyarrow as pa
import pytest

from seam_pipeline import tables
from seam_pipeline.candidates.contrast import contrast_candidates, contrast_sets
from seam_pipeline.candidates.sizes import SetSizes, set_sizes
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Contrast
from seam_pipeline.experiment._load import fingerprint

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


def test_only_changed_questions_are_encoded_again(tmp_path: Path) -> None:
    query = rl("q", "How do I store coffee at home?", "In a tin.")
    first = contrast_sets(query, POOL, WIDE, 3, cache=tmp_path)
    assert (first.encoded, first.known) == (9, 0)
    changed = rl("q", "How do I grind coffee?", "In a mill.")
    second = contrast_sets(changed, POOL, WIDE, 3, cache=tmp_path)
    assert (second.encoded, second.known) == (1, 8)
    assert second.table.equals(contrast_candidates(changed, POOL, WIDE, 3))


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_an_approximate_index_says_its_recall(index: str) -> None:
    settings = Contrast(low=0.2, high=0.9999, index=index, probes=8)  # type: ignore[arg-type]
    query = rl("q", "How do I store coffee at home?", "In a tin.")
    made = contrast_sets(query, POOL, settings, 30)
    assert made.recall == (1.0, 1, 8)
    assert made.table.schema.metadata[b"recall"] == b"1.0"
    assert made.table.equals(contrast_candidates(query, POOL, WIDE, 30))
    assert contrast_sets(query, POOL, WIDE, 30).recall is None


def test_set_sizes_by_hand() -> None:
    table = pa.table(
        {
            "id": ["a", "a", "b", "b", "c", "d", "d"],
            "candidate": ["x", "y", "x", None, None, "x", "y"],
        }
    )
    assert set_sizes(table, 2) == SetSizes(4, 2, 2, 1, (0, 0, 1, 2, 2))
    assert "2 of 4 instructions have fewer than 2 candidates, 1 of them none" in set_sizes(table, 2).sentence()
    assert set_sizes(table.slice(0, 0), 2).instructions == 0


def test_processes_are_no_part_of_the_recipe() -> None:
    assert fingerprint(Contrast(processes=4)) == fingerprint(Contrast())
    assert fingerprint(Contrast(index="ivf")) != fingerprint(Contrast())


def test_ten_thousand_equal_answers_are_not_quadratic() -> None:
    """Labels are compared pair by pair of what the search lets through, never listed per query."""
    many = pa.table(
        {
            "id": [f"d{i}" for i in range(10_000)],
            "instruction": ["How do I store beer at home?"] * 10_000,
            "golden_response": ["Keep it cool."] * 10_000,
        }
    )
    query = pa.concat_tables([rl(f"q{i}", f"How do I store beer in room {i}?", "keep it, cool") for i in range(40)])
    made = contrast_sets(query, pa.concat_tables([many, POOL]), WIDE, 4)
    assert made.encoded == 48
    assert made.sizes.short == 0
    assert "Keep it cool." not in made.table["candidate"].to_pylist()


def test_findings_count_short_sets_and_name_an_approximate_index() -> None:
    from seam_pipeline.findings.candidate_likelihoods import candidate_likelihoods

    settings = Contrast(low=0.2, high=0.9999, index="ivf", probes=8)
    sets = contrast_candidates(rl("q", "How do I store coffee at home?", "In a tin."), POOL, settings, 30)
    scored = pa.table(
        {"id": ["q"], "candidate_index": [0], "loglik": [-4.0], "n_tokens": [2], "reason": pa.nulls(1, pa.string())}
    )
    found = candidate_likelihoods({"contrast": {1: scored}}, candidates={"contrast": sets}, wanted=30)
    assert found.more[0].columns[2] == "fewer than 30"
    assert found.more[0].rows == (("SEAM-Contrast", 1, 1, 0, 8, 8, 8, 8, 8),)
    assert any("approximate index (ivf), measured recall 1.0" in caveat for caveat in found.caveats)
