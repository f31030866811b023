import pyarrow as pa

from seam_pipeline import tables
from seam_pipeline.judging.match import outcomes, reward_margins
from seam_pipeline.scoring.items import pair_items


def test_outcomes_by_hand() -> None:
    given = {
        "agrees": (2.0, 1.0, "1"), "agrees too": (-3.0, 1.0, "2"), "contradicts": (2.0, 1.0, "2"),
        "verdict tie": (2.0, 1.0, "tie"), "rewards tie": (1.0, 1.0, "1"), "both tie": (1.0, 1.0, "tie"),
        "unjudged": (2.0, 1.0, None), "unscored": (None, 1.0, "1"), "unjudged and unscored": (None, None, None),
    }  # fmt: skip
    rewards = pa.Table.from_pylist(
        [
            {"id": i, "candidate_index": k, "reward": both[k - 1], "reason": None}
            for i, both in given.items()
            for k in (2, 1)
        ],
        schema=tables.REWARDS,
    )
    verdicts = pa.Table.from_pylist(
        [
            {"id": i, "judge": "j", "preference": row[2], "reason": None, "explanation": None}
            for i, row in {**given, "not scored at all": (0, 0, "1")}.items()
        ],
        schema=tables.VERDICTS,
    )
    assert outcomes(rewards, verdicts) == {
        "agrees": "match", "agrees too": "match", "contradicts": "mismatch", "verdict tie": "tie",
        "rewards tie": "reward tie", "both tie": "tie", "unjudged": "no verdict", "unscored": "no reward",
        "unjudged and unscored": "no verdict", "not scored at all": "no reward",
    }  # fmt: skip
    assert reward_margins(rewards)["agrees too"] == -4.0
    assert reward_margins(rewards)["unscored"] is None


def test_items_number_the_answers_one_and_two() -> None:
    row = {"id": "q", "instruction": "?", "response_1": "a", "response_2": "b", "policy_1": 1, "policy_2": 5}
    (item,) = pair_items(pa.Table.from_pylist([row], schema=tables.PREFERENCE_ANSWERS))
    assert (item.responses, item.indices) == (("a", "b"), (1, 2))
