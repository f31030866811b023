import math
import time

import numpy as np
import pyarrow as pa
import pytest

from seam_pipeline.errors import SeamError
from seam_pipeline.scoring.seam import seam_scores
from seam_pipeline.tables import CANDIDATE_SCORES, CANDIDATES, LIKELIHOODS, REWARDS, SEAM_SCORES


def likelihoods(*rows: tuple) -> pa.Table:
    names = ["id", "candidate_index", "loglik", "n_tokens", "reason"]
    full = [{**dict(zip(names, (*row, None), strict=False)), "prompt_cut": 0, "truncated": False} for row in rows]
    return pa.Table.from_pylist(full, schema=LIKELIHOODS)


def rewards(*rows: tuple) -> pa.Table:
    names = ["id", "candidate_index", "reward", "reason"]
    return pa.Table.from_pylist([dict(zip(names, (*row, None), strict=False)) for row in rows], schema=REWARDS)


TWO = (
    # l = -2, -0.5, -1; eps = max(2.5 - 1, 0) = 1.5, max(0.25 - 1, 0) = 0, max(1.5 - 1, 0) = 0.5
    likelihoods(("b", 2, -5.0, 5), ("b", 1, -1.5, 3), ("a", 0, -2.0, 2), ("b", 0, -8.0, 4)),
    rewards(("b", -1, 1.0), ("b", 2, 1.5), ("b", 0, 2.5), ("b", 1, 0.25), ("a", -1, 3.0), ("a", 0, 2.0)),
)


def test_the_four_forms_by_hand() -> None:
    found = seam_scores(*TWO, ids=["b", "a"])
    assert found.scores.schema == SEAM_SCORES
    b, a = found.scores.to_pylist()
    assert (b["id"], b["n_candidates"], b["reason"]) == ("b", 3, None)
    assert b["seam_log"] == pytest.approx(-2 * 1.5 + -1 * 0.5)  # -3.5
    assert b["seam_prob"] == pytest.approx(-(math.exp(-2) * 1.5 + math.exp(-1) * 0.5))
    assert b["seam_mean_log"] == pytest.approx(-3.5 / 3)
    assert b["seam_mean_prob"] == pytest.approx(b["seam_prob"] / 3)
    assert [a[f"seam_{form}"] for form in ("log", "prob", "mean_log", "mean_prob")] == [0, 0, 0, 0]


def test_candidates_are_ordered_by_the_ids_then_by_index() -> None:
    found = seam_scores(*TWO, ids=["b", "a"]).candidate_scores
    assert found.schema == CANDIDATE_SCORES
    assert list(zip(found["id"].to_pylist(), found["candidate_index"].to_pylist(), strict=True)) == [
        ("b", 0), ("b", 1), ("b", 2), ("a", 0),
    ]  # fmt: skip
    assert found["misjudgement"].to_pylist() == [1.5, 0, 0.5, 0]
    assert found["golden_reward"].to_pylist() == [1, 1, 1, 3]
    assert found["reason"].null_count == 4


def test_unscored_candidates_are_left_out_with_a_reason() -> None:
    found = seam_scores(
        likelihoods(("a", 0, -4.0, 2), ("a", 1, None, None, "empty response"), ("a", 2, -1.0, 1), ("a", 3, -1.0, 1)),
        rewards(("a", -1, 0.0), ("a", 0, 1.0), ("a", 1, 5.0), ("a", 2, None, "the reward is nan"), ("a", 4, 1.0)),
        ["a"],
    )
    row = found.scores.to_pylist()[0]
    assert (row["seam_log"], row["seam_mean_log"], row["n_candidates"], row["reason"]) == (-2, -2, 1, None)
    assert found.candidate_scores["reason"].to_pylist() == [
        None,
        "no likelihood: empty response",
        "no reward: the reward is nan",
        "no reward: it was not scored",
        "no likelihood: it was not scored",
    ]
    assert found.candidate_scores["misjudgement"].to_pylist() == [1, 5, None, None, 1]


def test_null_scores_say_why() -> None:
    candidates = pa.Table.from_pylist(
        [
            {"id": "none", "candidate_index": -1, "candidate": None, "source": "", "reason": "0 of 30: nothing near"},
            {"id": "lost", "candidate_index": 0, "candidate": "text", "source": ""},
        ],
        schema=CANDIDATES,
    )
    found = seam_scores(
        likelihoods(("bad", 0, -1.0, 1), ("gone", 0, -1.0, 1)),
        rewards(
            ("bad", -1, float("nan"), None), ("bad", 0, 1.0), ("gone", 0, 1.0), ("none", -1, 1.0), ("lost", -1, 1.0)
        ),
        ["bad", "gone", "none", "lost"],
        candidates,
    )
    assert found.scores["seam_log"].null_count == found.scores["seam_mean_prob"].null_count == 4
    assert found.scores["n_candidates"].to_pylist() == [0, 0, 0, 0]
    assert found.scores["reason"].to_pylist() == [
        "golden response has no reward: its reward is not finite",
        "golden response has no reward: it was not scored",
        "no candidates: 0 of 30: nothing near",
        "none of its 1 candidates could be scored (no likelihood: it was not scored)",
    ]
    assert found.candidate_scores["golden_reward"].to_pylist() == [None, None, 1]


def test_no_candidates_at_all() -> None:
    found = seam_scores(likelihoods(), rewards(("a", -1, 1.0)), ["a"])
    assert found.scores["reason"].to_pylist() == ["no candidates"]
    assert found.candidate_scores.num_rows == 0


def test_unequal_inputs_are_refused() -> None:
    with pytest.raises(SeamError, match="'b' is not among the instructions"):
        seam_scores(*TWO, ids=["a"])
    with pytest.raises(SeamError, match="'a' has candidate_index 0 twice"):
        seam_scores(likelihoods(("a", 0, -1.0, 1), ("a", 0, -1.0, 1)), rewards(("a", -1, 1.0)), ["a"])
    with pytest.raises(SeamError, match="'a' appears twice"):
        seam_scores(*TWO, ids=["a", "b", "a"])


def test_many_candidates_need_no_loop() -> None:
    n, k = 20_000, 30
    rng = np.random.default_rng(0)
    ids = [f"question {number}" for number in range(n)]
    index = pa.array(np.tile(np.arange(k), n), pa.int32())
    who = pa.array(np.repeat(np.array(ids, dtype=object), k), pa.string())
    columns = {"loglik": -rng.random(n * k), "n_tokens": pa.array(np.ones(n * k), pa.int32())}
    flags = {
        "prompt_cut": pa.array(np.zeros(n * k), pa.int32()),
        "truncated": [False] * (n * k),
        "reason": [None] * (n * k),
    }
    left = pa.table({"id": who, "candidate_index": index, **columns, **flags}, schema=LIKELIHOODS)
    candidates = {"id": who, "candidate_index": index, "reward": rng.normal(size=n * k), "reason": [None] * (n * k)}
    golden = {"id": ids, "candidate_index": [-1] * n, "reward": rng.normal(size=n), "reason": [None] * n}
    right = pa.concat_tables(pa.table(part, schema=REWARDS) for part in (candidates, golden))
    start = time.process_time()
    assert seam_scores(left, right, ids).scores["seam_log"].null_count == 0
    assert time.process_time() - start < 10
