import pyarrow as pa
import pytest

from seam_pipeline.findings import Finding
from seam_pipeline.findings.base_sizes import BaseSize, base_sizes
from seam_pipeline.tables import REWARDS, VERDICTS

from .tables import answers, reward_quality


def size(
    parameters: int,
    margins: list[float | None],
    preferences: list[str | None],
    rated: list[float | None],
    right: list[bool],
) -> BaseSize:
    """Pairs p0, p1, ... with their reward margin and preference, ratings, and two pairs per question."""
    rewards = [
        {"id": f"p{n}", "candidate_index": index, "reward": value, "reason": None if value is not None else "cut"}
        for n, margin in enumerate(margins) for index, value in ((1, margin), (2, 0.0))
    ]  # fmt: skip
    verdicts = [
        {"id": f"p{n}", "judge": "gold", "preference": p, "reason": None if p else "no reply", "explanation": None}
        for n, p in enumerate(preferences)
    ]
    return BaseSize(
        "from scratch",
        parameters,
        answers({0: rated}),
        reward_quality(right, per_question=2),
        pa.Table.from_pylist(rewards, schema=REWARDS),
        pa.Table.from_pylist(verdicts, schema=VERDICTS),
    )


SMALL = size(430_752, [1, 1, -1, 1, 2], ["1", "2", "2", "1", "tie"], [2.0, 4.0, 3.0], [True, False, True, False])
LARGE = size(1_600_000, [1, -1, 1, None, 1], ["1", "2", "1", "1", None], [6.0, 5.0, None], [True, True, True, False])


def test_the_three_numbers_of_each_base() -> None:
    found = base_sizes(SMALL, {"double": LARGE})
    rows = found.rows
    assert [row[:3] for row in rows[:2]] == [
        ("the study's own (from scratch)", "0.43 M", "75.0%"),  # 3 of 4; the tie is left out
        ("double (from scratch)", "1.60 M", "100.0%"),
    ]
    assert [row[4] for row in rows[:2]] == [4, 3]
    assert [row[5] for row in rows[:2]] == ["3.00", "5.50"]
    assert [row[7] for row in rows[:2]] == ["50.0%", "75.0%"]
    assert [row[2] for row in rows[2:]] == ["60.5%", "60.7%", "60.4%"]
    assert found.more[1].rows == (
        ("the study's own", 3, 1, 1, 0, 0, 0),
        ("double", 3, 0, 0, 0, 1, 1),
    )
    assert found.nulls == {
        "answer without a rating: no reply": 1,
        "pair without a preference: no reply": 1,
        "answer without a reward: cut": 1,
    }
    assert found.n == 3


def test_largest_less_smallest_is_paired() -> None:
    found = base_sizes(SMALL, {"double": LARGE})
    assert found.numbers["match_change"] == pytest.approx((0 + 1 + 0) / 3)  # p0, p1 and p2 are compared in both
    assert found.numbers["match_change_n"] == 3
    assert found.numbers["policy_change"] == pytest.approx(((6 - 2) + (5 - 4)) / 2)
    assert found.numbers["reward_change"] == pytest.approx(3 / 4 - 2 / 4)
    # Differences of the match 0, 1, 0: mean 1/3, standard deviation sqrt(1/3); of the rating 4 and 1.
    assert found.more[0].rows[0][:5:3] == ("match rate", "+0.58")
    assert found.numbers["match_change_dz"] == pytest.approx((1 / 3) / (1 / 3) ** 0.5)
    assert found.numbers["policy_change_dz"] == pytest.approx(2.5 / 4.5**0.5)
    assert found.numbers["match_change_trainings"] == 1
    assert "the policy's rating from 3.00 to 5.50" in found.answer
    assert "from 0.43 M to 1.60 M" in found.answer[0].lower() + found.answer[1:]
    assert Finding.from_dict(found.to_dict()).answer == found.answer


def test_other_settings_than_the_size_are_said() -> None:
    own = SMALL._replace(trained={"SFT learning_rate": 0.01, "SFT epochs": 2})
    other = LARGE._replace(trained={"SFT learning_rate": 0.006, "SFT epochs": 2})
    found = base_sizes(own, {"double": other})
    said = (
        "The bases differ in their trainings too, not in size alone: "
        "SFT learning_rate 0.01 (the study's own), 0.006 (double)."
    )
    assert said in found.caveats
    assert not any(
        "not in size alone" in c for c in base_sizes(own, {"double": LARGE._replace(trained=own.trained)}).caveats
    )


def test_bases_are_ordered_by_size_and_the_own_may_be_the_largest() -> None:
    found = base_sizes(LARGE, {"half": SMALL})
    assert [row[0] for row in found.rows[:2]] == ["half (from scratch)", "the study's own (from scratch)"]
    assert found.headline == ("100.0%", "match rate on the largest base")
    assert base_sizes(SMALL, {"again": SMALL}).numbers["policy_change"] == 0.0


def test_where_every_pair_is_a_tie_there_is_no_match_rate() -> None:
    ties = size(10, [1.0, 2.0], ["tie", "tie"], [1.0, 2.0], [True, False])
    found = base_sizes(ties, {"larger": ties._replace(parameters=20)})
    assert "match rate goes from – to – (not testable over 0)" in found.answer
    assert found.headline is None
