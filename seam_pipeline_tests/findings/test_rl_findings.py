import numpy as np
import pytest

from seam_pipeline.findings._saturation import saturation
from seam_pipeline.findings.quality_surface import quality_surface
from seam_pipeline.findings.selection_methods import selection_methods

from .tables import answers, reward_quality


def _noisy(mean: float, seed: int, n: int = 60) -> list[float]:
    rng = np.random.default_rng(seed)
    return [float(v) for v in mean + np.linspace(-1, 1, n) + rng.normal(0, 0.1, n)]


def test_selection_pairs_cells_seeds_and_questions():
    full = {(1, 1): answers({0: [4, 6, 5], 1: [4, 6, 5]}), (2, 2): answers({0: [1, 1, 1]})}
    # Shares only cell (1, 1) and the rated triples: +1 on q0 and q1 in both seeds.
    gpt = {(1, 1): answers({0: [5, 7, None], 1: [5, 7, None]})}
    found = selection_methods({"full": full, "seam_gpt": gpt}, {1: answers({0: [4, 4, 4]})})
    method, cells, runs, rating, difference, interval, dz, relative, _, seeds = found.rows[0]
    assert (method, cells, runs, rating) == ("SEAM-GPT", 1, 2, 6.0)
    assert (difference, interval) == ("+1.000", "+1.000 to +1.000")
    assert relative == "+20.0%"
    assert (seeds, dz) == ("p = 0.50 over 2 seeds; at best 0.5", "–")  # no scatter, no effect size
    assert found.nulls == {"answer without a rating: no reply": 2}
    assert found.headline == ("+20.0%", "rating, RL after filtering by SEAM-GPT against all")


def test_six_seeds_can_separate_and_five_cannot():
    def run(seeds):
        full = {(1, 1): answers({s: _noisy(5, s) for s in range(seeds)})}
        gpt = {(1, 1): answers({s: _noisy(5.5 + 0.1 * (s % 2), s) for s in range(seeds)})}
        return selection_methods({"full": full, "seam_gpt": gpt}, {})

    six, five = run(6), run(5)
    assert six.numbers["seam_gpt_relative_seed_p"] == pytest.approx(2 / 64)
    assert five.numbers["seam_gpt_relative_seed_p"] == pytest.approx(2 / 32)
    assert any("fewer than 6 cannot reach" in caveat for caveat in five.caveats)
    assert not any("cannot reach" in caveat for caveat in six.caveats)
    assert "over 6 seeds, uncorrected: SEAM-GPT separated at 95%" in six.answer
    assert "over 5 seeds no difference can be separated at 95%" in five.answer
    # Differences 0.5 and 0.6 by turns: mean 0.55, standard deviation sqrt(6 * 0.05^2 / 5).
    assert six.numbers["seam_gpt_relative_seed_dz"] == pytest.approx(0.55 / (0.015 / 5) ** 0.5)


def test_selection_speaks_of_what_it_knows():
    full = {(1, 1): answers({0: _noisy(5, 0)})}
    methods = {
        "full": full,
        "seam_gpt": {(1, 1): answers({0: _noisy(5.5, 1)})},
        "seam_adv": {(1, 1): answers({0: _noisy(4.5, 2)})},
        "random": {(1, 1): answers({0: _noisy(5, 3)})},
        "perplexity": {(3, 3): answers({0: _noisy(9, 4)})},
    }
    found = selection_methods(methods, {})
    assert "SEAM-GPT (+9." in found.answer or "SEAM-GPT (+10." in found.answer
    assert "beat the full set over questions" in found.answer
    assert "SEAM-Adv" in found.answer.split(";")[1]
    assert "fell below it" in found.answer
    assert "Random" in found.answer.split(";")[2]
    assert "over seeds: not testable" in found.answer
    assert "by point estimate: GPT > Adv" in found.answer
    assert "Perplexity" not in found.answer
    assert all(row[9].startswith("not testable") for row in found.rows)


def test_variants_are_compared_with_each_other_and_with_random():
    methods = {"full": [4, 4], "seam_gpt": [6, 8], "seam_contrast": [5, 5], "random": [5, 6]}
    found = selection_methods({m: {(1, 1): answers({0: v, 1: v})} for m, v in methods.items()}, {})
    rows = {row[0]: row for row in found.more[1].rows}
    assert list(rows) == ["SEAM-GPT less Random", "SEAM-Contrast less Random", "SEAM-GPT less SEAM-Contrast"]
    # 1 and 3 more than Contrast's 5: mean 2, standard deviation sqrt 2, 2 of 5.
    assert rows["SEAM-GPT less SEAM-Contrast"][2::2][:2] == ("+2.000", "+1.41")
    assert found.numbers["seam_gpt_over_seam_contrast"] == pytest.approx(0.4)
    assert found.numbers["seam_gpt_over_random"] == pytest.approx(1.5 / 5.5)


def test_selection_without_a_rival():
    found = selection_methods({"full": {(1, 1): answers({0: [5.0, 6.0]})}}, {})
    assert found.figure is None
    assert "nothing to compare" in found.answer


def _grid(quality_of, levels=(2.0, 3.0, 4.0, 5.0, 6.0), rewards=(60, 65, 70, 75, 80), noise=0.0):
    rng = np.random.default_rng(1)
    wiggle = np.linspace(-1, 1, 30)
    policies = {r: answers({0: list(level + wiggle)}) for r, level in enumerate(levels, 1)}
    accuracies = {r: reward_quality([True] * right + [False] * (100 - right)) for r, right in enumerate(rewards, 1)}
    cells = {
        (pm, rm): answers({0: list(quality_of(level, right / 100) + noise * rng.normal() + wiggle)})
        for pm, level in enumerate(levels, 1)
        for rm, right in enumerate(rewards, 1)
    }
    return cells, policies, accuracies


def test_a_plane_with_a_plateau_flattens_where_the_plateau_begins():
    # Slope 1 up to Q_PM 4 and 0 above; 2 per accuracy everywhere.
    cells, policies, rewards = _grid(lambda level, right: min(level, 4.0) + 2 * right, noise=0.02)
    del cells[5, 2]
    found = quality_surface(cells, policies, rewards)
    assert len(found.rows) == 24
    assert [row[8] for row in found.rows] == [30] * 24
    # Q_PM's five levels permuted: as far apart from no order are the two orders of 120 that the plateau ties.
    assert found.numbers["q_pm_rank"] > 0.8
    assert found.numbers["q_pm_rank_p"] < 0.05
    plane, bent = found.more[0].rows
    assert plane[:3] == ("plane", 24, 3)
    assert bent[2] == 7
    assert bent[3] < plane[3] / 20
    assert bent[4] < -40
    assert found.numbers["bend_p"] == pytest.approx(0.001)
    against_pm, against_rm = found.more[1].rows
    assert against_pm[1:4] == (pytest.approx(4.0), pytest.approx(1.0, abs=0.05), pytest.approx(0.0, abs=0.05))
    assert against_pm[6:] == ("p = 0.001", "flattening")
    # Every question rates alike, so the interval has no width; that the cells scatter shows in p.
    assert against_rm[2] == pytest.approx(2.0, abs=0.6)
    assert against_rm[7] == "not separated at 95%"
    assert "saturation: flattening in Q_PM (" in found.answer
    assert found.numbers["q_pm_change_high"] < 0
    assert "30 questions" in found.figure.caption


def test_a_plane_has_no_bend():
    for noise in (0.0, 0.3):
        cells, policies, rewards = _grid(lambda level, right: 0.5 * level + 3 * right, noise=noise)
        found = quality_surface(cells, policies, rewards)
        assert "saturation: no bend found against a plane" in found.answer
        assert found.numbers["bend_p"] > 0.05
    exact, policies, rewards = _grid(lambda level, right: 0.5 * level + 3 * right)
    assert quality_surface(exact, policies, rewards).numbers["bend_p"] == 1.0


def test_the_bend_is_found_as_often_as_chance_says():
    x = [(pm, rm) for pm in range(1, 6) for rm in range(1, 6)]
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(60):
        scored = {cell: dict(zip("ab", [v - 1, v + 1], strict=True)) for cell, v in zip(x, rng.normal(size=25))}  # noqa: B905
        surface = saturation(scored, {c: float(c[0]) for c in x}, {c: float(c[1]) for c in x})
        found += (surface.p or 1) < 0.05
    assert found <= 8  # 3 of 60 are expected; more than 8 has probability 0.005


def test_too_small_a_grid_is_not_testable():
    cells, policies, rewards = _grid(lambda level, right: level, rewards=(60, 80))
    two = quality_surface(cells, policies, rewards)
    assert [row[0] for row in two.more[1].rows] == ["Q_PM"]  # two levels of Q_RM cannot bend
    diagonal = {cell: table for cell, table in _grid(lambda level, right: level)[0].items() if cell[0] == cell[1]}
    found = quality_surface(diagonal, *_grid(lambda level, right: level)[1:])
    assert "saturation: not testable (policy and reward-model quality rise together" in found.answer
    few, policies, rewards = _grid(lambda level, right: level, levels=(2.0, 3.0, 4.0, 5.0))
    few = {cell: few[cell] for cell in [(1, 1), (2, 2), (3, 3), (4, 4), (1, 5), (4, 1), (2, 4)]}
    found = quality_surface(few, policies, rewards)
    assert "not testable (7 cells for 7 parameters; 9 are needed)" in found.answer
    assert found.numbers["bend_p"] is None


def test_gains_are_against_the_cells_own_policy():
    cells, policies, rewards = _grid(lambda level, right: min(level, 4.0) + 1)
    found = quality_surface(cells, policies, rewards)
    assert found.numbers["pm01_rm01"] == pytest.approx(3.0)
    assert found.rows[0][5:8] == ("+1.00", "+1.00 to +1.00", "–")
    length = found.more[-1]
    assert len(length.rows) == 25
    assert length.rows[0][0] == "PM 1 / RM 1"
    assert length.rows[0][3] == length.rows[0][6] == "+1.000"
    # (4, *) saturate at 5 = Q_PM 5: no gain; rank 5 falls below its policy.
    assert "RL made 15 better and 5 worse" in found.answer


def test_quality_surface_survives_missing_ratings():
    found = quality_surface(
        {(1, 1): answers({0: [None, None]})}, {1: answers({0: [None, 3.0]})}, {1: reward_quality([])}
    )
    assert found.rows[0][3] is None
    assert found.nulls == {"answer without a rating: no reply": 3}
