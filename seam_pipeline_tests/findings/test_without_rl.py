import pyarrow as pa
import pytest

from seam_pipeline.findings import Finding
from seam_pipeline.findings.without_rl import without_rl
from seam_pipeline.tables import ANSWERS


def answers(by_id: dict[str, float | None], seed: int = 0) -> pa.Table:
    blank = {"seed": seed, "instruction": "i", "golden_response": "g", "response": "r", "n_tokens": 1, "judge": "gold"}
    return pa.Table.from_pylist(
        [{**blank, "id": i, "rating": r, "explanation": None, "reason": None if r else "no"} for i, r in by_id.items()],
        schema=ANSWERS,
    )


def test_differences_are_paired_over_questions():
    before = {1: answers({"a": 2.0, "b": 4.0}), 2: answers({"a": 1.0, "b": 1.0})}
    tuned = {1: answers({"a": 3.0, "b": 6.0, "c": None}), 2: answers({"a": 1.0, "b": 2.0})}
    rl = {(1, 1): pa.concat_tables([answers({"a": 5.0, "b": 5.0}), answers({"a": 3.0, "b": 5.0}, seed=1)])}
    found = without_rl(tuned, before, rl)
    assert found.numbers["gain"] == pytest.approx(((3 - 2) + (6 - 4)) / 2)
    assert found.numbers["rl_less_dpo"] == pytest.approx(((4 - 3) + (5 - 6)) / 2)
    # DPO less SFT: 1 and 2, mean 1.5, standard deviation sqrt 0.5; all answers are equally long.
    assert "d_z +2.12" in found.interval
    dpo, after = found.more[0].rows
    assert dpo[3] == dpo[6] == "+1.500"
    assert (after[0], after[3]) == ("RL less DPO", "0.000")
    assert [row[:4] for row in found.rows] == [(1, 3.0, 4.5, 4.5), (2, 1.0, 1.5, None)]
    assert found.nulls == {"answer without a rating: no": 1}
    assert Finding.from_dict(found.to_dict()).answer == found.answer


def test_without_rl_runs_it_says_so():
    found = without_rl({1: answers({"a": 3.0, "b": 6.0})}, {1: answers({"a": 2.0, "b": 4.0})}, {})
    assert "RL was not run on its pair" in found.answer
