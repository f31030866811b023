from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest

from seam_pipeline.findings import Finding
from seam_pipeline.findings.cross_validation import cross_validation, ratio_of_means
from seam_pipeline.tables import SEGMENT_ANSWERS, SEGMENT_REWARDS


def answers(by_segment: Mapping[str, Mapping[int, list[float | None]]]) -> pa.Table:
    """SEGMENT_ANSWERS from ratings by segment and seed."""
    blank = {"instruction": "i", "golden_response": "g", "response": "r", "n_tokens": 1, "judge": "gold"}
    rows = [
        {**blank, "id": f"{segment}{i}", "seed": seed, "rating": rating, "explanation": None,
         "reason": None if rating else "no reply", "segment": segment}
        for segment, seeds in by_segment.items() for seed, found in seeds.items() for i, rating in enumerate(found)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=SEGMENT_ANSWERS)


def verdicts(by_segment: Mapping[str, Mapping[int, list[tuple[str, bool | None]]]]) -> pa.Table:
    """SEGMENT_REWARDS from (question, verdict) by segment and seed."""
    rows = [
        {"id": f"{segment}{question}:{n}", "chosen_reward": 1.0, "rejected_reward": 0.0, "correct": correct,
         "reason": None, "seed": seed, "question_id": f"{segment}{question}", "segment": segment}
        for segment, seeds in by_segment.items() for seed, found in seeds.items()
        for n, (question, correct) in enumerate(found)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=SEGMENT_REWARDS)


POLICIES = {
    1: answers({"sft": {0: [8.0, 6.0], 1: [8.0, 6.0]}, "rl": {0: [7.0, 5.0, None], 1: [7.0, 7.0, None]}}),
    2: answers({"sft": {0: [4.0, 2.0], 1: [4.0, 2.0]}, "rl": {0: [2.0, 2.0, 5.0], 1: [2.0, 2.0, 5.0]}}),
}
REWARDS = {
    1: verdicts(
        {
            "preference": {0: [("a", True), ("a", True), ("b", True), ("c", False)]},
            "sft": {0: [("a", True), ("b", False)]},
            "rl": {0: [("a", True), ("b", False)]},
        }
    )
}


def test_shares_of_the_own_segments_quality() -> None:
    found = cross_validation(POLICIES, REWARDS)
    own, other = (8 + 6 + 8 + 6 + 4 + 2 + 4 + 2) / 8, (7 + 5 + 7 + 7 + 2 + 2 + 5 + 2 + 2 + 5) / 10
    assert found.numbers["policy_sft_quality"] == pytest.approx(own)
    assert found.numbers["policy_rl_ratio"] == pytest.approx(other / own)
    assert found.numbers["policy_sft_ratio"] is None
    assert (found.numbers["policy_rl_n"], found.numbers["policy_rl_ratio_seeds"]) == (2, 2)
    assert found.numbers["reward_sft_ratio"] == pytest.approx((1 / 2) / (3 / 4))
    low, high = found.numbers["policy_rl_low"], found.numbers["policy_rl_high"]
    assert low is not None
    assert high is not None
    assert low < other / own < high
    rows = {(row[0], row[1]): row for row in found.rows}
    assert rows["policy, rank 1", "RL"][4] == "92.9%"  # 6.5 of 7
    assert rows["policy, rank 1", "RL"][6] == "85.7% 100.0%"  # seed 0: 6 of 7; seed 1: 7 of 7
    assert rows["policy, rank 1", "SFT"][4:7] == ("own", "", "")
    assert rows["policy, all ranks", "RL"][8] == "96%"
    assert rows["reward model, rank 1", "preference"][2] == "75.0%"
    assert rows["reward model, rank 1", "preference"][7] == 3  # questions, not pairs
    assert found.nulls == {"answer without a rating: no reply": 2}
    assert f"policies keep {100 * other / own:.1f}% on RL" in found.answer
    assert "2 policy and 1 reward rank and 2 seeds" in found.answer
    assert Finding.from_dict(found.to_dict()).answer == found.answer


def test_the_interval_resamples_both_sides() -> None:
    """Against the delta method: the relative variances of two independent means add up."""
    rng = np.random.default_rng(3)
    sides = [np.stack([rng.normal(mean, 1.0, n), np.ones(n)], axis=1) for mean, n in ((4.0, 300), (5.0, 200))]
    found = ratio_of_means(*sides)
    means, errors = zip(*((s[:, 0].mean(), s[:, 0].std() / len(s) ** 0.5) for s in sides), strict=True)
    half = 1.96 * means[0] / means[1] * ((errors[0] / means[0]) ** 2 + (errors[1] / means[1]) ** 2) ** 0.5
    assert found.value == pytest.approx(means[0] / means[1])
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.1)


def test_what_cannot_be_compared_says_so() -> None:
    found = cross_validation({1: answers({"sft": {0: [5.0]}})}, {1: verdicts({"preference": {0: [("a", True)]}})})
    assert found.answer.startswith("No segment beside the models' own was measured")
    assert found.headline is None
    nothing = cross_validation({1: answers({"sft": {0: [5.0]}, "rl": {0: [None]}})}, {})
    assert nothing.nulls == {"answer without a rating: no reply": 1}
    zero = verdicts({"preference": {0: [("a", False), ("b", False)]}, "rl": {0: [("a", True), ("b", True)]}})
    unknown = cross_validation({}, {1: zero})
    assert unknown.numbers["reward_rl_ratio"] is None
    assert [row[4] for row in unknown.rows if row[0] == "reward model, rank 1"] == ["own", "–"]
