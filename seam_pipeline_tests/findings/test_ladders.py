import pyarrow as pa
import pytest

from seam_pipeline import tables as schemas
from seam_pipeline.findings.data_overview import data_overview
from seam_pipeline.findings.policy_ladder import policy_ladder
from seam_pipeline.findings.ppo_learning import ppo_learning
from seam_pipeline.findings.reward_ladder import reward_ladder

from .tables import answers, reward_quality


def test_policy_ladder_pairs_questions_and_counts_nulls():
    tables = {1: answers({0: [6, 7, 8, None]}), 2: answers({0: [2, 3, 4, 9]})}
    found = policy_ladder(tables, {1: 500, 2: 0}, {1: {"train_loss": 1.5, "steps": 40}, 2: {"steps": 0}})
    assert [row[:3] for row in found.rows] == [(2, 0, 4.5), (1, 500, 7.0)]
    # Paired over q0..q2 only: 6-2, 7-3, 8-4.
    assert found.numbers["gain"] == found.numbers["gain_low"] == found.numbers["gain_high"] == 4.0
    assert "goes from 4.50 to 7.00 (+4.00, up" in found.answer
    assert found.nulls == {"answer without a rating: no reply": 1}
    assert found.more[0].rows == ((1, 1.5, 40), (2, None, 0))
    assert any("Only 3 question" in caveat for caveat in found.caveats)


def test_policy_ladder_says_when_not_separated():
    found = policy_ladder({1: answers({0: [1, 9, 5, 4]}), 2: answers({0: [9, 1, 4, 5]})}, {1: 10, 2: 0})
    assert "not separated at 95%" in found.answer


def test_policy_ladder_without_any_rating():
    found = policy_ladder({1: answers({0: [None, None]}), 2: answers({0: [None, None]})}, {1: 10, 2: 0})
    assert found.n == 0
    assert sum(found.nulls.values()) == 4


def test_proxy_is_named():
    found = policy_ladder({1: answers({0: [4.0, 5.0]}, judge="reference:minilm")}, {1: 10})
    assert "proxy" in found.figure.panels[0].svg
    assert any("proxy" in caveat for caveat in found.caveats)


def test_reward_ladder():
    tables = {1: reward_quality([True] * 8 + [False] * 2), 2: reward_quality([True, None, False, None])}
    found = reward_ladder(tables, {1: 1000, 2: 0})
    assert [row[:3] for row in found.rows] == [(2, 0, "50.0%"), (1, 1000, "80.0%")]
    # Of ten questions eight are right: 50 to 100%, as of their binomial distribution.
    assert found.rows[1][3:] == ("50.0% to 100.0%", 10, 10)
    assert found.rows[0][4:] == (2, 2)
    # Paired over the two questions that both answer: 0 and 1, so that 50% are gained.
    assert found.numbers["gain"] == pytest.approx(0.5)
    assert found.numbers["gain_dz"] == pytest.approx(0.5 / 0.5**0.5)
    assert "+50.0%, d_z +0.71, not separated at 95%" in found.answer
    # The digits of "answer 1 is too long" and "answer 3 ..." do not make two reasons.
    assert found.nulls == {"pair without a verdict: answer n is too long": 2}


def _metrics(rewards: list[float | None]) -> pa.Table:
    steps = list(range(1, len(rewards) + 1))
    return pa.table(
        {"step": steps, "reward_mean": rewards, "kl": [0.1] * len(steps), "response_length": [5.0] * len(steps)}
    )


def test_ppo_learning_counts_rising_runs():
    metrics = {
        ("full", 1, 1, 0): _metrics([0, 1, 2, 3, 4, 5, 6, 7]),
        ("full", 1, 1, 1): _metrics([1, 1, 1, 1, 1, 1, 0, 0]),
        ("seam_gpt", 1, 1, 0): _metrics([0, 0, None, 0, 0, 0, 0, 2, 2]),
    }
    found = ppo_learning(metrics)
    assert found.headline == ("2 of 3", "PPO runs raised the learned reward")
    # Quarters of two steps: 0.5 -> 6.5; 1 -> 0; and 0 -> 2 over the eight finite steps.
    assert [row[5:8] for row in found.rows] == [(0.5, 6.5, "+6.00"), (1.0, 0.0, "−1.00"), (0.0, 2.0, "+2.00")]
    assert found.numbers["mean_rise"] == pytest.approx((6 - 1 + 2) / 3)
    assert found.nulls == {"training step without a finite reward": 1}
    assert len(found.figure.panels) == 3


def test_ppo_learning_shows_where_the_reward_rose_and_the_true_quality_fell():
    rising, gold = [0, 1, 2, 3, 4, 5, 6, 7], [9.0, 9, 8, 8, 7, 7, 5, 5]
    metrics = {
        ("full", 1, 1, 0): _metrics(rising).append_column("gold_mean", pa.array(gold)),
        ("full", 1, 1, 1): _metrics(rising).append_column("gold_mean", pa.array(gold[::-1])),
        ("full", 2, 2, 0): _metrics(rising),
    }
    found = ppo_learning(metrics)
    assert found.numbers["hacked"] == 1
    assert [row[-1] for row in found.rows] == ["−4.00", "+4.00", None]
    assert "in 1 of 2 runs the reward rose while it fell" in found.answer
    assert len(found.figure.panels) == 4


def test_data_overview_counts_and_finds_leaks():
    sft = pa.Table.from_pylist(
        [
            {"id": f"s{i}", "split": s, "instruction": "q", "golden_response": "abc"}
            for i, s in enumerate(["train", "dev"])
        ],
        schema=schemas.SFT,
    )
    rl = pa.Table.from_pylist(
        [{"id": "s0", "split": "test", "instruction": "q", "golden_response": "a", "worse_response": None}],
        schema=schemas.RL,
    )
    pair = {
        "split": "train",
        "instruction": "q",
        "chosen": "a",
        "rejected": "b",
        "chosen_score": 2,
        "rejected_score": 1,
    }
    preference = pa.Table.from_pylist(
        [{"id": f"p:{n}", "question_id": "p", **pair} for n in range(3)], schema=schemas.PREFERENCE
    )
    found = data_overview(
        {"questions": 9, "answers": 20, "skipped": {"no answer": 4, "bad row": 0}}, sft, preference, rl
    )
    assert found.rows == (("SFT", 1, 1, 0, 2, 2), ("Preference", 3, 0, 0, 3, 1), ("RL", 0, 0, 1, 1, 1))
    assert found.numbers["in_two_splits"] == 1
    assert "1 question stands in more than one split" in found.answer
    assert found.nulls == {"row skipped: no answer": 4}
