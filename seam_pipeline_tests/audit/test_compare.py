"""Comparisons against hand-computed numbers."""

import math

import numpy as np
import pyarrow as pa
import pytest

from seam_pipeline.audit.compare import (
    Result,
    compare_scores,
    distinct_names,
    likelihood_rows,
    rank_correlation,
    shown_rows,
)
from seam_pipeline.tables import SEAM_SCORES, SELECTED

from .rows import evidence_of


def selection(**scores: float | None) -> pa.Table:
    rows = [{"id": i, "kept": True, "score": v, "reason": None} for i, v in scores.items()]
    return pa.Table.from_pylist(rows, schema=SELECTED)


def result(name: str, log: dict[str, float | None], prob: dict[str, float | None] | None = None) -> Result:
    rows = [
        {"id": i, "seam_log": v, "seam_prob": (prob or log)[i], "seam_mean_log": v, "seam_mean_prob": v,
         "n_candidates": 1, "reason": None} for i, v in log.items()
    ]  # fmt: skip
    return Result.of_tables(name, pa.Table.from_pylist(rows, schema=SEAM_SCORES))


def test_ranks_and_overlap_by_hand() -> None:
    one = result("one", dict(zip("abcde", (-5.0, -4.0, -3.0, -2.0, -1.0), strict=True)))
    other = result("other", dict(zip("abcde", (-4.0, -5.0, -3.0, -2.0, -1.0), strict=True)))
    (pair,) = compare_scores([one, other], 0.4)
    assert pair.n == 5
    assert pair.spearman.value == pytest.approx(1 - 6 * 2 / (5 * 24))
    assert pair.kendall == pytest.approx((9 - 1) / 10)
    assert pair.overlap[::3] == (1.0, 2)
    assert compare_scores([one, other], 0.2)[0].overlap[::3] == (0.0, 1)


def test_only_what_both_score_is_compared() -> None:
    one = result("one", {"a": -3.0, "b": -2.0, "c": None, "d": -1.0})
    other = Result.of_tables("other", selection(a=None, b=-5.0, c=-7.0, d=-1.0, e=0.0))
    (pair,) = compare_scores([one, other], 0.5)
    assert (pair.n, pair.form_a, pair.form_b, pair.spearman.value) == (2, "log", "score", pytest.approx(1.0))
    assert pair.overlap.value == 1.0


def test_forms_are_compared_within_a_result_too() -> None:
    ids = dict(zip("abc", (-3.0, -2.0, -1.0), strict=True))
    one = result("one", ids, dict(zip("abc", (-1.0, -2.0, -3.0), strict=True)))
    pairs = compare_scores([one, result("two", ids)], 0.3, ("log", "prob"))
    assert [(p.a, p.form_a, p.b, p.form_b) for p in pairs[:2]] == [
        ("one", "log", "two", "log"),
        ("one", "prob", "two", "prob"),
    ]
    own = {(p.form_a, p.form_b): p.spearman.value for p in pairs[2:] if p.a == "one"}
    assert own["log", "prob"] == pytest.approx(-1.0)
    assert len(own) == 6


def test_nothing_in_common_has_no_numbers() -> None:
    (pair,) = compare_scores([result("one", {"a": -1.0}), result("two", {"b": -1.0})], 0.2)
    assert (pair.n, pair.spearman.value, pair.kendall, pair.overlap.value) == (0, None, None, None)
    (flat,) = compare_scores([result("one", {"a": 0.0, "b": 0.0}), result("two", {"a": -1.0, "b": 0.0})], 0.5)
    assert flat.spearman.value is None


def test_the_interval_of_the_rank_correlation_covers() -> None:
    rng, covered = np.random.default_rng(0), 0
    truth = 6 / math.pi * math.asin(0.6 / 2)
    for _ in range(300):
        x = rng.normal(size=40)
        found = rank_correlation(x, 0.6 * x + 0.8 * rng.normal(size=40))
        covered += found.low <= truth <= found.high
    assert 0.92 <= covered / 300 <= 0.98
    assert rank_correlation(np.arange(3.0), np.arange(3.0))[:3] == (1.0, None, None)


def test_likelihoods_and_texts_of_the_worst() -> None:
    found = evidence_of(
        {"a": [("x", -1.0, 2.0, 1.0), ("y", -2.0, 3.0, 1.0), ("z", -3.0, 0.0, 1.0)], "b": [("w", -4.0, 0.0, 1.0)]}
    )
    candidates = pa.table({"id": ["a"], "candidate_index": [1], "candidate": ["y"]})
    one = Result.of_tables("one", found.scores, found.parts, candidates, found.rows)
    (row,) = likelihood_rows([one, result("two", {"a": -1.0})])
    assert row["nats_per_token"] == pytest.approx((-1 - 2 - 3 - 4) / 4)
    assert (row["candidates"], row["instructions"], row["misjudged"]) == (4, 2, 0.5)
    (shown,) = shown_rows([one], 1, "log")
    assert (shown["id"], shown["instruction"], shown["golden_reward"]) == ("a", "why a?", 1.0)
    assert [(c["candidate_index"], c["candidate"], c["reward"]) for c in shown["candidates"]] == [
        (1, "y", 3.0),
        (0, None, 2.0),
    ]


def test_equal_names_are_numbered() -> None:
    assert distinct_names(["a", "b", "a"]) == ["a", "b", "a (2)"]
    assert distinct_names(["a", "a", "a (2)"]) == ["a", "a (2)", "a (2) (2)"]
