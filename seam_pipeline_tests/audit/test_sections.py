"""The sections against hand-computed numbers."""

import itertools
from math import exp

import numpy as np
import pytest

from seam_pipeline.audit._fit import candidate_share, fit, fooled_share
from seam_pipeline.audit._length import correlation, length_bias
from seam_pipeline.audit._topic_bias import MANY, permutation_p, topic_bias
from seam_pipeline.audit._topics import Topics
from seam_pipeline.audit._worst import worst, worst_of
from seam_pipeline.findings._statistics import holm, p_text

from .rows import evidence_of, simulated

CELLS = {
    "a": [("x", -1.0, 2.0, 1.0), ("x y z w", -2.0, 0.5, 1.0), ("x y", -3.0, 1.5, 1.0)],
    "b": [("x y z", -1.0, 0.0, 3.0)],
    "c": [("x y z x y z", -0.5, 4.0, 0.0), ("x", -4.0, 4.0, 0.0)],
    "d": [],
}


def test_evidence_is_what_the_tables_say() -> None:
    found = evidence_of(CELLS)
    assert found.row.tolist() == [0, 0, 0, 1, 2, 2]
    assert found.margin.tolist() == [1.0, -0.5, 0.5, -3.0, 4.0, 4.0]
    assert found.longer.tolist() == [-2, 1, -1, 0, 3, -2]
    assert found.wrong.tolist() == [2, 0, 2, 0]
    assert found.n_used.tolist() == [3, 1, 2, 0]
    np.testing.assert_allclose(found.score, [-1.0 - 1.5, 0.0, -2.0 - 16.0, np.nan])
    assert found.golden_spread() == pytest.approx(np.std([1.0, 3.0, 0.0]))
    np.testing.assert_allclose(evidence_of(CELLS, form="prob").part()[4], -exp(-0.5) * 4)


def test_shares_of_instructions_and_candidates() -> None:
    found = evidence_of(CELLS)
    assert fooled_share(found)[::3] == (2 / 3, 3)
    assert candidate_share(found).value == pytest.approx(4 / 6)
    attack = evidence_of(CELLS, variant="adversarial")
    assert fooled_share(attack)[::3] == (0.5, 4)
    assert fooled_share(evidence_of(CELLS, variant="adversarial", worse=False)).n == 0
    finding = fit({"contrast": found, "adversarial": attack}, 0.2)
    assert "67% (95% CI" in finding.answer
    assert "an attack succeeded on 50%" in finding.answer
    assert finding.rows[1][5] == "by construction"
    assert finding.nulls == {
        "SEAM-Contrast, instruction without a score: no candidates": 1,
        "SEAM-Adv, instruction without a score: no candidates": 1,
    }


def test_nothing_scored_is_said_and_not_a_number() -> None:
    found = evidence_of({"a": [], "b": []})
    sections = [fit({"contrast": found}, 0.2), worst({"contrast": found}), length_bias({"contrast": found}),
                topic_bias({"contrast": found}, Topics({"t": [0, 1]}, "topic"))]  # fmt: skip
    assert "nothing is known" in sections[0].answer
    assert sections[1].answer == "No instruction has a score."
    assert "nothing to measure" in sections[2].answer
    assert "too few" in sections[3].answer


def test_the_worst_and_their_offenders_in_order() -> None:
    found = evidence_of(CELLS)
    assert worst_of(found) == [(2, [5, 4]), (0, [2, 0])]
    assert worst_of(found, k=1, offenders=1) == [(2, [5])]
    assert worst_of(evidence_of(CELLS, form="prob"))[0] == (2, [4, 5])
    finding = worst({"contrast": found})
    assert finding.excerpts[0].parts[2][0] == "Candidate 1, reward 4.00, −4.00 nats per token"
    assert finding.excerpts[0].parts[2][1] == "x"


def test_correlation_over_all_and_within() -> None:
    row = np.array([0, 0, 0, 1, 1, 1])
    x, y = np.array([1.0, 2, 3, 11, 12, 13]), np.array([3.0, 2, 1, 13, 12, 11])
    overall, within = correlation(row, x, y)
    assert overall.value == pytest.approx(1 - 6 * 16 / (6 * 35))
    assert within.value == pytest.approx(-1.0)
    assert (overall.n, within.n) == (2, 2)


@pytest.mark.parametrize("effect", [0.0, 1.0])
def test_intervals_cover_and_separate(effect: float) -> None:
    overall, within = correlation(*simulated(0, 60, 6, effect))
    assert overall.excludes(0) == within.excludes(0) == (effect > 0)


def test_correlation_intervals_resample_instructions() -> None:
    # Every instruction's candidates are copies of one: the interval must be that of 12 units, not of 600.
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=12), rng.normal(size=12)
    once, _ = correlation(np.arange(12), x, y)
    copies, _ = correlation(np.repeat(np.arange(12), 50), np.repeat(x, 50), np.repeat(y, 50))
    assert copies.value == pytest.approx(once.value)
    assert copies.high - copies.low == pytest.approx(once.high - once.low, rel=0.05)


def test_length_bias_is_named_with_its_direction() -> None:
    rng = np.random.default_rng(0)
    cells = {
        f"q{n}": [("w " * size, -1.0, 0.1 * size + rng.normal() * 0.1, 0.5) for size in (1, 3, 6, 9)] for n in range(12)
    }
    finding = length_bias({"contrast": evidence_of(cells)})
    assert "longer candidates are rated higher" in finding.answer
    assert finding.more[0].rows[-1][2] == "100%"
    assert len(finding.figure.panels) == 2
    attacks = length_bias({"adversarial": evidence_of(cells, variant="adversarial")})
    assert attacks.more == ()


def test_permutation_p_is_near_the_exact_one() -> None:
    values, inside = np.array([1.0, 2, 3, 4, 5, 9, 10, 12]), np.array([0, 0, 0, 0, 0, 1, 1, 1], bool)
    seen = abs(values[inside].sum() - 3 * values.mean())
    sums = [abs(sum(values[list(some)]) - 3 * values.mean()) for some in itertools.combinations(range(8), 3)]
    exact = np.mean([one >= seen - 1e-9 for one in sums])
    assert permutation_p(values, inside) == pytest.approx(exact, abs=0.01)
    assert permutation_p(values, np.ones(8, bool)) is None


def test_permutation_p_of_many_rows_has_the_same_limit() -> None:
    rng = np.random.default_rng(0)
    values, inside = rng.random(MANY), np.arange(MANY) < 300
    values[inside] += 0.035
    few = permutation_p(values, inside)
    many = permutation_p(np.append(values, values.mean()), np.append(inside, False))
    assert many == pytest.approx(few, abs=0.02)


def test_topics_are_tested_against_the_rest_with_holm() -> None:
    bad, good = [("x", -1.0, 1.0, 0.0)] * 4, [("x", -1.0, -1.0, 0.0)] * 4
    cells = {f"q{n}": bad if n < 8 else good for n in range(30)} | {"none": []}
    topics = Topics({"bad": list(range(8)), "good": list(range(8, 28)), "tiny": [28], "empty": [30]}, "topic")
    finding = topic_bias({"contrast": evidence_of(cells)}, topics)
    rows = {row[1]: row for row in finding.rows}
    assert list(rows) == ["bad", "(small topics)", "good"]
    assert (rows["bad"][2], rows["good"][2]) == ("100%", "0%")
    assert rows["bad"][4] == "p < 0.001"
    assert rows["(small topics)"][4] == "not testable"
    assert "set apart from the rest are bad (100%, p < 0.001)" in finding.answer
    assert "2 tests, corrected" in finding.answer


def test_the_correction_is_holms() -> None:
    rng = np.random.default_rng(2)
    rate = np.repeat([0.2, 0.5, 0.65], 12)
    cells = {f"q{n}": [("x", -1.0, 1.0 if rng.random() < rate[n] else -1.0, 0.0) for _ in range(4)] for n in range(36)}
    found = evidence_of(cells)
    topics = Topics({name: list(range(12 * k, 12 * k + 12)) for k, name in enumerate(("low", "mid", "high"))}, "topic")
    raw = {name: permutation_p(found.wrong / 4, np.isin(np.arange(36), at)) for name, at in topics.members.items()}
    adjusted = dict(zip(raw, holm(list(raw.values())), strict=True))
    assert 0.05 < max(raw.values()) < 1
    rows = topic_bias({"contrast": found}, topics).rows
    assert {row[1]: row[4] for row in rows} == {name: p_text(p) for name, p in adjusted.items()}


def test_equal_units_are_not_certainty() -> None:
    cells = {f"q{n}": [("x y z w", -1.0, 0.0, 1.0)] * 3 for n in range(8)}
    none = candidate_share(evidence_of(cells))
    assert (none.value, none.low, none.n) == (0.0, 0.0, 8)
    assert none.high == pytest.approx(0.3244, abs=1e-4)  # Wilson: z² / (n + z²)
    finding = length_bias({"contrast": evidence_of(cells)})
    assert finding.more[0].rows[0][2:4] == ("0%", "0% to 32%")


def test_one_topic_has_nothing_to_be_set_apart_from() -> None:
    cells = {f"q{n}": [("x", -1.0, 1.0, 0.0)] for n in range(6)}
    finding = topic_bias({"contrast": evidence_of(cells)}, Topics({"ale": list(range(6))}, "topic"))
    assert finding.answer == "SEAM-Contrast: all are in one topic, ale, so there is none to set apart."
    assert "Holm" not in finding.interval
