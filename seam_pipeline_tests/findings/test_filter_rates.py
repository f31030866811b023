import numpy as np
import pytest

from seam_pipeline.findings._peak import best_rates
from seam_pipeline.findings.filter_rates import filter_rates
from seam_pipeline.findings.selection_methods import rated_triples

from .tables import answers, with_lengths

WIGGLE = np.linspace(-1, 1, 40)


def runs(*means: float) -> dict[tuple[int, int], object]:
    """One cell, a seed per mean; questions differ by the same wiggle."""
    return {(1, 1): answers({seed: list(mean + WIGGLE) for seed, mean in enumerate(means)})}


def test_rates_are_compared_with_full_and_with_chance() -> None:
    full, ours = runs(4, 4), {0.4: runs(5, 5), 0.2: runs(4.4, 4.4), 0.8: runs(3, 3)}
    chance = {0.2: runs(4.4, 4.4), 0.4: runs(4, 4)}
    kept = {("seam_gpt", 0.2): 80.0, ("seam_gpt", 0.4): 60.0, ("seam_gpt", 0.8): 20.5, ("random", 0.4): 60.0}
    found = filter_rates("seam_gpt", full, ours, chance, kept)
    assert [row[:3] for row in found.rows] == [("20%", "80", 2), ("40%", "60", 2), ("80%", "20", 2)]
    assert [row[7] for row in found.rows] == ["+10.0%", "+25.0%", "−25.0%"]
    assert found.rows[1][4:6] == ("+1.000", "+1.000 to +1.000")
    peak, against, control, past, length = found.more
    # 80% against 40%: 3 less 5, on each question alike, so that there is no scatter and no d_z.
    assert past.rows[0][:6] == ("80% less 40%", 2, "−2.000", "−2.000 to −2.000", "–", "−40.0%")
    assert found.numbers["seam_gpt_80%_over_40%"] == pytest.approx(-0.4)
    assert [row[0] for row in length.rows] == ["SEAM-GPT, 20%", "SEAM-GPT, 40%", "SEAM-GPT, 80%", "Random, 20%",
                                               "Random, 40%"]  # fmt: skip
    assert length.rows[1][3] == length.rows[1][6] == "+1.000"  # all answers are equally long
    assert peak.rows[2][:1] + peak.rows[2][3:] == ("40%", "100%", "100%")
    assert [row[1] for row in against.rows] == ["0.000", "+1.000"]
    assert [row[0] for row in control.rows] == ["20%", "40%"]
    assert "Leaving out 40% by SEAM-GPT rates highest, +25.0%" in found.answer
    assert "best of 4 shares in 100% of the resamples over questions (100% over questions and seeds)" in found.answer
    assert "separated from the full set at 95%: 20%, 40% and 80% (worse)" in found.answer
    assert "from as many left out at random: 40%" in found.answer
    assert found.answer.endswith("over 2 seeds no difference can be separated at 95%.")
    assert found.headline == ("40%", "left out by SEAM-GPT rates highest, in 100% of the resamples")
    assert found.numbers["random_40%_relative"] == 0.0
    assert any("drawn once" in caveat for caveat in found.caveats)


def test_the_peak_is_as_sure_as_its_seeds() -> None:
    """Over questions alone 20% always wins; its two seeds lie on both sides of the full set's."""
    found = best_rates({0.0: rated_triples(runs(4, 4)), 0.2: rated_triples(runs(6, 3))})
    assert [p.questions for p in found] == [0.0, 1.0]
    assert found[0].both == pytest.approx(0.25, abs=0.04)  # both drawn seeds are the bad one


def test_six_seeds_can_tell() -> None:
    found = filter_rates("seam_gpt", runs(*[4] * 6), {0.2: runs(*[5] * 6), 0.4: runs(*[4] * 6)}, {}, {})
    assert found.answer.endswith("over 6 seeds, uncorrected: 20% separated at 95%.")
    assert found.numbers["seam_gpt_20%_relative_seed_p"] == pytest.approx(2 / 2**6)


def test_ties_are_divided_and_one_seed_is_not_testable() -> None:
    full = {(1, 1): answers({0: [4.0, 5.0]})}
    found = filter_rates("seam_gpt", full, {0.2: full}, {}, {})
    assert [row[3:] for row in found.more[0].rows] == [("50%", "not testable")] * 2
    assert "Leaving out nothing rates highest" in found.answer
    assert found.rows[0][9].startswith("not testable")


def test_seeds_and_questions_that_one_rate_lacks_are_left_out() -> None:
    full = {(1, 1): answers({0: [4, 6, 5], 1: [4, 6, 5]})}
    ours = {(1, 1): answers({0: [5, 7, None]})}
    found = filter_rates("seam_adv", full, {0.3: ours}, {}, {})
    assert found.rows[0][2:5] == (1, 6.0, "+1.000")
    assert [row[1] for row in found.more[0].rows] == [5.0, 6.0]
    assert found.nulls == {"answer without a rating: no reply": 1}


def test_effect_sizes_by_hand() -> None:
    """Differences 1 and 3 over questions: mean 2, standard deviation sqrt 2; over seeds 1 and 3 too."""
    found = filter_rates("seam_gpt", {(1, 1): answers({0: [4, 4], 1: [4, 4]})},
                         {0.2: {(1, 1): answers({0: [4, 6], 1: [6, 8]})}}, {}, {})  # fmt: skip
    assert found.rows[0][6] == "+1.41"
    assert found.rows[0][9] == "p = 0.50 over 2 seeds, d_z +1.41; at best 0.5"
    assert "d_z +1.41" in found.interval
    assert "d_z +1.41" in found.answer
    assert found.numbers["seam_gpt_20%_relative_dz"] == pytest.approx(2**0.5)


def test_a_gain_of_length_alone_shows_beside_the_plain_one() -> None:
    rng = np.random.default_rng(0)
    more = np.round(rng.normal(4, 3, 200))
    rating = 5 + 2 * np.tanh(more / more.std())
    full, ours = with_lengths(answers({0: [5.0] * 200}), [10] * 200), answers({0: rating.tolist()})
    ours = with_lengths(ours, [10 + int(v) for v in more])
    found = filter_rates("seam_gpt", {(1, 1): full}, {0.2: {(1, 1): ours}}, {}, {})
    (row,) = found.more[-1].rows
    assert row[6] == "0.000"
    assert float(str(row[3])) > 1


def test_nothing_to_compare() -> None:
    found = filter_rates("seam_gpt", {(2, 2): answers({0: [5.0]})}, {0.2: {(1, 1): answers({0: [5.0]})}}, {}, {})
    assert "nothing to compare" in found.answer


def test_seeds_that_share_no_question_have_no_best_rate() -> None:
    rated = {((1, 1), 0, "q0"): 1.0, ((1, 1), 1, "q1"): 2.0}
    assert best_rates({0.0: rated, 0.2: rated}) == []
