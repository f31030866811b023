"""Every claim reads numbers that the finding of its name really gives."""

from collections.abc import Mapping

import numpy as np
import pytest

from seam_pipeline.findings import Finding
from seam_pipeline.findings._claims import CLAIMS
from seam_pipeline.findings._judged import Claim
from seam_pipeline.findings.base_sizes import base_sizes
from seam_pipeline.findings.candidate_likelihoods import candidate_likelihoods
from seam_pipeline.findings.cross_validation import cross_validation
from seam_pipeline.findings.cycles import cycles
from seam_pipeline.findings.filter_rates import filter_rates
from seam_pipeline.findings.less_is_more import less_is_more
from seam_pipeline.findings.preference_match import preference_match
from seam_pipeline.findings.quality_surface import quality_surface
from seam_pipeline.findings.seamlessness import seamlessness
from seam_pipeline.findings.selection_methods import selection_methods
from seam_pipeline.findings.truth import truth

from .tables import answers, likelihoods, seam
from .test_augmentation import study
from .test_base_sizes import LARGE, SMALL
from .test_cross_validation import POLICIES, REWARDS
from .test_cycles import _cycle
from .test_filter_rates import runs
from .test_preference import ROWS, pairs
from .test_rl_findings import _grid
from .test_seam_findings import _mismatch

METHODS = {"full": 4, "seam_gpt": 5, "seam_contrast": 5, "seam_adv": 4.5, "random": 4}
SETS = {"llm": -1.0, "contrast": -3.0, "adversarial": -9.0}


@pytest.fixture(scope="module")
def numbers() -> Mapping[str, Mapping[str, float | None]]:
    rng = np.random.default_rng(0)
    real = [float(v) for v in rng.uniform(size=60)]
    cycle = {1: _cycle(4.0, True)}
    found: list[Finding] = [
        truth({"llm": seam([-v for v in real])}, _mismatch(real), pair=(1, 1)),
        preference_match(*pairs(ROWS)),
        less_is_more({"full": runs(4, 4), "matched": runs(5, 5)}, {1: {}}, 40),
        selection_methods({m: runs(level, level) for m, level in METHODS.items()}, {}),
        filter_rates("seam_gpt", runs(4, 4), {0.4: runs(5, 5), 0.8: runs(3, 3)}, {}, {}),
        candidate_likelihoods({v: {1: likelihoods({"a": [(t, 1)], "b": [(t - 1, 1)]})} for v, t in SETS.items()}),
        seamlessness({"llm": {(1, 1): seam([-v for v in real]), (2, 2): seam([-v for v in real])}}),
        quality_surface(*_grid(lambda level, right: min(level, 4.0) + 2 * right, noise=0.02)),
        cross_validation(POLICIES, REWARDS),
        study(),
        base_sizes(SMALL, {"double": LARGE}),
        cycles({"full": cycle, "seam_contrast": cycle}, answers({0: [3.0] * 3}), answers({0: [4.0] * 3})),
    ]
    return {one.key: one.numbers for one in found}


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.short)
def test_its_numbers_are_there(claim: Claim, numbers: Mapping[str, Mapping[str, float | None]]) -> None:
    one, known = claim.of("llm", "SEAM-GPT", "log"), numbers[claim.finding]
    assert known[one.stem] is not None
    ends = one.ends or one.stem
    assert {f"{ends}_low", f"{ends}_high", f"{ends}_n"} <= known.keys()
    if one.given:
        assert known[one.given[0]] == 1


AFTER_RL = ("less_is_more", "selection_methods", "filter_rates", "augmentation", "cycles")


@pytest.mark.parametrize("claim", [c for c in CLAIMS if c.finding in AFTER_RL], ids=lambda c: c.short)
def test_claims_about_runs_have_their_tests(claim: Claim, numbers: Mapping[str, Mapping[str, float | None]]) -> None:
    known, stem = numbers[claim.finding], claim.of("llm", "SEAM-GPT", "log").stem
    assert {f"{stem}_p", f"{stem}_seed_p"} <= known.keys()
    assert known[f"{stem}_seeds"] == 2
