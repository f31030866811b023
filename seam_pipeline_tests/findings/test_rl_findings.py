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
    method, cells, runs, rating, difference, interval, relative, _, seeds = found.rows[0]
    assert (method, cells, runs, rating) == ("SEAM-GPT", 1, 2, 6.0)
    assert (difference, interval) == ("+1.000", "+1.000 to +1.000")
    assert relative == "+20.0%"
    assert seeds == "p = 0.50 over 2 seeds; at best 0.5"
    assert found.nulls == {"answer without a rating: no reply": 2}
    assert found.headline == ("+20.0%", "SEAM-GPT against full")


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
    assert all(row[8].startswith("not testable") for row in found.rows)


def test_selection_without_a_rival():
    found = selection_methods({"full": {(1, 1): answers({0: [5.0, 6.0]})}}, {})
    assert found.figure is None
    assert "nothing to compare" in found.answer


def _grid(quality_of, levels=(2.0, 3.0, 4.0, 5.0, 6.0)):
    wiggle = np.linspace(-1, 1, 30)
    policies = {r: answers({0: list(level + wiggle)}) for r, level in enumerate(levels, 1)}
    rewards = {1: reward_quality([True] * 60 + [False] * 40), 2: reward_quality([True] * 80 + [False] * 20)}
    cells = {
        (pm, rm): answers({0: list(quality_of(level, rm) + wiggle)})
        for pm, level in enumerate(levels, 1)
        for rm in (1, 2)
    }
    return cells, policies, rewards


def test_quality_surface_finds_the_bend():
    cells, policies, rewards = _grid(lambda level, rm: min(level, 4.0) + 1)
    del cells[5, 2]
    found = quality_surface(cells, policies, rewards)
    assert found.numbers["pm01_rm01"] == pytest.approx(3.0)
    assert len(found.rows) == 9
    assert found.rows[0][5:7] == ("+1.00", "+1.00 to +1.00")
    against_pm, against_rm = found.more[0].rows
    assert against_pm[1:4] == (pytest.approx(4.0), pytest.approx(1.0), pytest.approx(0.0, abs=1e-9))
    assert against_pm[6] == "flattening"
    assert against_rm[6].startswith("not testable")
    # (4, *) saturate at 5 = Q_PM 5: no gain; rank 5 falls below its policy.
    assert "RL made 6 better and 1 worse" in found.answer


def test_saturation_of_a_straight_line_is_not_claimed():
    rng = np.random.default_rng(0)
    scored = {(r, 1): {f"q{i}": float(r + rng.normal()) for i in range(80)} for r in range(1, 6)}
    found = saturation(scored, {cell: float(cell[0]) for cell in scored})
    assert found.verdict == "not separated at 95%"


def test_quality_surface_survives_missing_ratings():
    found = quality_surface(
        {(1, 1): answers({0: [None, None]})}, {1: answers({0: [None, 3.0]})}, {1: reward_quality([])}
    )
    assert found.rows[0][3] is None
    assert found.nulls == {"answer without a rating: no reply": 3}
