import math

import pyarrow as pa
import pytest

from seam_pipeline.errors import SeamError
from seam_pipeline.scoring.baselines import (
    BASELINE_SCORES,
    golden_reward,
    margin_gap,
    pf_ppo,
    pre_ppo,
    response_length,
    reward_variance,
)
from seam_pipeline.tables import LIKELIHOODS, REWARDS


def rewards(*rows: tuple) -> pa.Table:
    names = ["id", "candidate_index", "reward", "reason"]
    return pa.Table.from_pylist([dict(zip(names, (*row, None), strict=False)) for row in rows], schema=REWARDS)


def likelihoods(*rows: tuple) -> pa.Table:
    names = ["id", "candidate_index", "loglik", "reason"]
    full = [
        {**dict(zip(names, (*row, None), strict=False)), "n_tokens": 1, "prompt_cut": 0, "truncated": False}
        for row in rows
    ]
    return pa.Table.from_pylist(full, schema=LIKELIHOODS)


def scores(table: pa.Table) -> list[float | None]:
    assert table.schema == BASELINE_SCORES
    for row in table.to_pylist():
        assert (row["score"] is None) != (row["reason"] is None)
    return table["score"].to_pylist()


SAMPLES = rewards(
    ("a", -1, 99.0), ("a", 0, 1.0), ("a", 1, 3.0), ("a", 2, 5.0),
    ("b", 0, 2.0), ("b", 1, 2.0), ("b", 2, None, "empty response"),
    ("c", 0, 7.0), ("c", 1, float("nan")), ("d", 0, None, "empty response"),
)  # fmt: skip
IDS = ["b", "a", "d", "c", "e"]


def test_reward_variance_by_hand() -> None:
    table = reward_variance(SAMPLES, IDS)
    # a: mean 3, (4 + 0 + 4) / 2 = 4; b: both 2; the golden reward (index -1) takes no part.
    assert scores(table) == [0.0, 4.0, None, None, None]
    assert table["reason"].to_pylist()[2:] == [
        "a variance needs two rewards of sampled answers: 0 found (empty response)",
        "a variance needs two rewards of sampled answers: 1 found (not sampled)",
        "a variance needs two rewards of sampled answers: 0 found (not sampled)",
    ]


def test_pre_ppo_filters_high_rewards_first() -> None:
    table = pre_ppo(SAMPLES, IDS)
    assert scores(table) == [-2.0, -3.0, None, -7.0, None]  # c, whose answers are rated best, goes first
    assert table["reason"][2].as_py() == "no sampled answer has a reward: 0 found (empty response)"


def test_pf_ppo_filters_the_middle_first() -> None:
    # Finite rewards 1, 2, 2, 3, 5, 7: mid-ranks F = 1/12, 4/12, 4/12, 7/12, 9/12, 11/12.
    # |2F - 1| = 10/12, 4/12, 4/12, 2/12, 6/12, 10/12; a: (10 + 2 + 6) / 36, b: 4/12, c: 10/12.
    found = scores(pf_ppo(SAMPLES, IDS))
    assert found[:2] == pytest.approx([1 / 3, 0.5])
    assert found[3] == pytest.approx(5 / 6)
    assert found[2] is found[4] is None


def test_pf_ppo_depends_on_the_order_of_rewards_alone() -> None:
    bent = rewards(*[(r["id"], r["candidate_index"], r["reward"] and r["reward"] ** 3) for r in SAMPLES.to_pylist()])
    assert scores(pf_ppo(bent, IDS)) == scores(pf_ppo(SAMPLES, IDS))


def test_golden_reward_reads_the_golden_response() -> None:
    table = golden_reward(rewards(("a", -1, -2.5), ("a", 0, 9.0), ("b", -1, float("inf")), ("c", -1, None, "empty")),
                          ["a", "b", "c", "d"])  # fmt: skip
    assert scores(table) == [-2.5, None, None, None]
    assert table["reason"].to_pylist()[1:] == [
        "golden response has no reward: it is not finite",
        "golden response has no reward: empty",
        "golden response has no reward: it was not scored",
    ]


def test_length_counts_characters() -> None:
    assert scores(response_length(["a", "b", "c", "d"], ["héllo", " ", None, "x\n"])) == [5.0, None, None, 2.0]


def test_margin_gap_by_hand() -> None:
    pair = rewards(
        ("a", -1, 3.0), ("a", 0, 1.0), ("b", -1, 1.0), ("b", 0, 3.0), ("c", -1, 3.0), ("c", 0, 1.0), ("d", -1, 3.0)
    )
    policy = likelihoods(
        ("a", 0, -10.0), ("a", 1, -25.0), ("b", 0, -10.0), ("b", 1, -10.0), ("c", 0, -25.0), ("c", 1, -10.0),
        ("d", 0, -1.0),
    )  # fmt: skip
    base = likelihoods(*[(id_, k, -20.0) for id_ in "abcd" for k in (0, 1)])
    table = margin_gap(pair, policy, base, ["a", "b", "c", "d"], 0.1)
    # a: explicit 2, implicit 0.1 * ((-10 + 20) - (-25 + 20)) = 1.5; b: misordered, nothing learnt; c: |-1.5| as in a.
    assert scores(table)[:3] == pytest.approx([0.5, -2.0, 0.5])
    assert scores(table)[3] is None
    assert table["reason"][3].as_py() == "there is no worse response"
    assert scores(margin_gap(pair, policy, base, list("abcd"), 0.2))[0] == pytest.approx(2 - 3.0)


@pytest.mark.parametrize("whose", ["policy", "base model"])
def test_margin_gap_names_the_missing_number(whose: str) -> None:
    pair = rewards(("a", -1, 3.0), ("a", 0, 1.0))
    whole = likelihoods(("a", 0, -1.0), ("a", 1, -1.0))
    short = likelihoods(("a", 0, -1.0), ("a", 1, None, "empty response"))
    table = margin_gap(pair, *((short, whole) if whose == "policy" else (whole, short)), ["a"], 0.1)
    assert table["reason"][0].as_py() == f"worse response has no likelihood under the {whose}: empty response"


def test_infinite_margins_are_null() -> None:
    pair = rewards(("a", -1, 1e308), ("a", 0, -1e308))
    flat = likelihoods(("a", 0, -1.0), ("a", 1, -1.0))
    assert margin_gap(pair, flat, flat, ["a"], 0.1)["reason"].to_pylist() == ["its margins overflow"]


@pytest.mark.parametrize("score", [reward_variance, pre_ppo, pf_ppo, golden_reward])
def test_odd_ids_are_refused(score) -> None:
    index = -1 if score is golden_reward else 0
    with pytest.raises(SeamError, match="'x' is not among the instructions"):
        score(rewards(("x", index, 1.0)), ["a"])
    with pytest.raises(SeamError, match=f"'a' has candidate_index {index} twice"):
        score(rewards(("a", index, 1.0), ("a", index, 2.0)), ["a"])


def test_no_rows_at_all() -> None:
    for score in (reward_variance, pre_ppo, pf_ppo, golden_reward):
        assert scores(score(rewards(), [])) == []
        assert scores(score(rewards(), ["a"])) == [None]
    assert math.isclose(scores(pf_ppo(rewards(("a", 0, 1.0)), ["a"]))[0] or 0.0, 0.0)
