import numpy as np
import pytest
from scipy import stats

from seam_pipeline.findings import _statistics as s


def test_mean_interval_holds_the_mean_and_shrinks_with_n():
    few, many = s.mean_interval([1.0, 2.0, 3.0, 4.0]), s.mean_interval([1.0, 2.0, 3.0, 4.0] * 25)
    assert few.value == many.value == 2.5
    assert 1.0 <= few.low < 2.5 < few.high <= 4.0
    assert many.high - many.low < few.high - few.low
    # Normal theory for n = 100: 2.5 +- 1.96 * sqrt(1.25 / 100).
    assert many.low == pytest.approx(2.5 - 1.96 * 0.1118, abs=0.02)


def test_bootstrap_agrees_with_scipy():
    values = np.random.default_rng(3).normal(size=60)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=4000, method="percentile").confidence_interval
    ours = s.mean_interval(values)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.03)


def test_too_few_units_have_no_interval():
    assert s.mean_interval([]) == s.Interval(None, None, None, 0)
    assert s.mean_interval([2.0]) == s.Interval(2.0, None, None, 1)
    assert s.mean_interval([2.0]).text() == "2.00 (no interval)"


def test_same_seed_same_interval():
    values = list(np.random.default_rng(0).normal(size=50))
    assert s.mean_interval(values, seed=1) == s.mean_interval(values, seed=1) != s.mean_interval(values, seed=2)


def test_ratio_resamples_rows_together():
    interval = s.bootstrap(s.ratio_rows, [2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert interval[:3] == pytest.approx((2.0, 2.0, 2.0))


def test_wilson_by_hand():
    # k = 8, n = 10, z = 1.96: centre (0.8 + z^2/20) / (1 + z^2/10) = 0.71674, half width 0.22655.
    interval = s.wilson(8, 10)
    assert interval.value == 0.8
    assert (interval.low, interval.high) == pytest.approx((0.49016, 0.94332), abs=1e-4)
    assert s.wilson(0, 0).value is None


def test_spearman_by_hand_and_constant_side():
    # Ranks 1..5 against 2 1 4 3 5: sum d^2 = 4, rho = 1 - 6 * 4 / (5 * 24) = 0.8.
    assert s.spearman([1, 2, 3, 4, 5], [20, 10, 40, 30, 50]).value == pytest.approx(0.8)
    assert s.spearman([1, 2, 3], [7, 7, 7]) == s.Interval(None, None, None, 3)


def test_auc_by_hand():
    # Positives score 3 and 1, negatives 2 and 1: wins 3>2, 3>1, tie 1=1, loss 1<2 -> 2.5 of 4.
    positive, score = np.array([[1.0, 1, 0, 0]]), np.array([[3.0, 1, 2, 1]])
    assert s.auc_rows(positive, score)[0] == pytest.approx(0.625)
    assert np.isnan(s.auc_rows(np.zeros((1, 4)), score)[0])


def test_sign_flip_by_hand():
    # Of the 8 sign patterns of (1, 2, 3) only +++ and --- reach |sum| 6.
    found = s.sign_flip([1.0, 2.0, 3.0])
    assert found.p == pytest.approx(0.25)
    assert found.dz == pytest.approx(2.0)  # mean 2, standard deviation 1
    assert found.text == "p = 0.25 over 3 seeds, d_z +2.00; at best 0.25"
    assert s.sign_flip([1.0] * 6).p == pytest.approx(2 / 64)
    # (1, -2): |sum| 1; flips give 3, 1, 1, 3: all reach it.
    assert s.sign_flip([1.0, -2.0]).p == pytest.approx(1.0)


def test_more_seeds_than_can_be_flipped_all_are_flipped_at_random():
    d = np.random.default_rng(5).normal(0.3, 1, size=s.MAX_UNITS + 6)
    found = s.sign_flip(d)
    assert found.p == pytest.approx(stats.ttest_1samp(d, 0).pvalue, abs=0.02)
    assert s.sign_flip(d) == found


@pytest.mark.parametrize("differences", [[], [0.7]])
def test_fewer_than_two_seeds_are_not_testable(differences):
    found = s.sign_flip(differences)
    assert found.p is None
    assert found.text.startswith("not testable")
    assert s.wilcoxon(differences).p is None


def test_wilcoxon():
    assert s.wilcoxon([0.0, 0.0, 0.0]).p == 1.0
    # All five positive: the exact two-sided p is 2 / 2^5.
    assert s.wilcoxon([1.0, 2.0, 3.0, 4.0, 5.0]).p == pytest.approx(2 / 32)


def test_holm_by_hand():
    # Sorted 0.01 * 3, 0.03 * 2, 0.04 * 1 -> 0.03, 0.06, max(0.06, 0.04); None is no comparison.
    assert s.holm([0.04, None, 0.01, 0.03]) == [pytest.approx(0.06), None, pytest.approx(0.03), pytest.approx(0.06)]
    assert s.holm([0.9, 0.8]) == [1.0, 1.0]


def test_effect_size_of_paired_differences_by_hand():
    # 1, 2, 3: mean 2, standard deviation 1.
    interval = s.difference_interval([1.0, 2.0, 3.0])
    assert (interval.value, interval.dz) == pytest.approx((2.0, 2.0))
    assert interval.difference_cells(1)[::2] == ("+2.0", "+2.00")
    assert interval.text(1, signed=True).endswith(", d_z +2.00)")
    assert interval.scaled(0.5).dz == interval.dz
    assert s.wilcoxon([1.0, 2.0, 3.0]).dz == pytest.approx(2.0)
    assert s.difference_interval([1.0, 1.0]).dz is None  # no scatter
    assert s.difference_interval([1.0]).difference_cells() == ("+1.00", "no interval", "–")
    assert "d_z" not in s.mean_interval([1.0, 2.0, 3.0]).text()  # a level is no difference


def test_students_interval_by_hand():
    # Mean 2, standard deviation 1, t(0.975, 2) = 4.3027: 4.3027 / sqrt(3) = 2.4842.
    assert s.t_interval([1.0, 2.0, 3.0])[:3] == pytest.approx((2.0, 2 - 2.4842, 2 + 2.4842), abs=1e-4)
    assert s.t_interval([1.0])[1] is None


def test_interval_text():
    interval = s.Interval(-0.5, -1.0, 0.001, 9)
    assert interval.text(1, signed=True) == "−0.5 (95% CI −1.0 to 0.0)"
    assert not interval.excludes(0)
    assert s.Interval(0.6, 0.55, 0.65, 9).range_text(0, percent=True) == "55% to 65%"
    assert s.p_text(0.0001) == "p < 0.001"
    assert [s.p_number(p) for p in (0.0001, 0.0312, 0.2, None)] == ["< 0.001", "0.031", "0.20", "–"]
