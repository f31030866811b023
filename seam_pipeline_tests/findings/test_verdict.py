import pytest

from seam_pipeline.defs._verdict import CLAIMED
from seam_pipeline.findings._claims import CLAIMS
from seam_pipeline.findings._judged import Claim, judged
from seam_pipeline.findings.verdict import verdict

HELPS = {"seam_gpt_relative": 0.05, "seam_gpt_relative_low": 0.01, "seam_gpt_relative_high": 0.09}
SURE = {"seam_gpt_relative_p": 0.01, "seam_gpt_relative_seed_p": 0.031, "seam_gpt_relative_seeds": 6.0}


def word(claim: str, numbers: dict[str, dict[str, float | None]]) -> str:
    """The verdict on the claim whose text begins so."""
    return str(next(row[1] for row in verdict(numbers).rows if str(row[0]).startswith(claim))).partition(" (")[0]


def filtering(**changed: float | None) -> str:
    return word(
        "RL is better without the instructions of lowest SEAM-GPT", {"selection_methods": HELPS | SURE | changed}
    )


def test_a_claim_about_filtering_needs_interval_questions_and_seeds():
    assert filtering() == "confirmed"
    assert filtering(seam_gpt_relative_low=-0.01) == "not separated"
    assert filtering(seam_gpt_relative_p=0.06) == "not separated"
    assert filtering(seam_gpt_relative_p=None) == "not testable"
    assert filtering(seam_gpt_relative_seed_p=0.06) == "not separated"
    assert filtering(seam_gpt_relative_seeds=5.0) == "not testable"
    assert filtering(seam_gpt_relative_low=None) == "not testable"
    assert (
        filtering(seam_gpt_relative=-0.05, seam_gpt_relative_low=-0.09, seam_gpt_relative_high=-0.01) == "contradicted"
    )


def test_no_effect_is_confirmed_only_within_the_papers_effect():
    def chance(low: float, high: float) -> str:
        numbers = {"random_relative": (low + high) / 2, "random_relative_low": low, "random_relative_high": high}
        return word("Leaving out as many at random", {"selection_methods": numbers})

    assert chance(-0.02, 0.03) == "confirmed"
    assert chance(-0.06, 0.03) == "not separated"
    assert chance(-0.2, -0.05) == "contradicted"


def test_no_effect_must_hold_over_seeds_too_and_has_no_p():
    numbers = {"random_relative": 0.0, "random_relative_low": -0.02, "random_relative_high": 0.02,
               "random_relative_p": 0.9, "random_relative_seed_p": 0.8}  # fmt: skip
    wide = numbers | {"random_relative_seed_low": -0.07, "random_relative_seed_high": 0.06}
    narrow = numbers | {"random_relative_seed_low": -0.04, "random_relative_seed_high": 0.04}
    for given, said in ((wide, "not separated (over seeds −7.0% to +6.0%)"), (narrow, "confirmed")):
        rows = verdict({"selection_methods": given}).rows
        (row,) = [row for row in rows if str(row[0]).startswith("Leaving out as many at random")]
        assert row[1] == said
        assert row[6:8] == ("–", "–")


def test_an_effect_of_the_papers_size_can_be_excluded():
    numbers = HELPS | {"seam_gpt_relative_low": -0.03, "seam_gpt_relative_high": 0.02}
    rows = verdict({"selection_methods": numbers}).rows
    assert any(row[1] == "not separated (the paper's +4.5% lies outside)" for row in rows)
    assert filtering(seam_gpt_relative_low=-0.03, seam_gpt_relative_high=0.06) == "not separated"


def test_one_training_per_base_tests_nothing():
    numbers = {"match_change": 0.15, "match_change_low": 0.1, "match_change_high": 0.2, "match_change_trainings": 1.0}
    rows = verdict({"base_sizes": numbers}).rows
    assert any(row[1] == "not testable (1 of at least 2 trainings)" for row in rows)


def test_every_figure_and_table_of_the_paper_has_a_claim():
    """SPEC section 7: Fig. 2 to 8, Tab. 1 to 3 and section 8; the truth beside them."""
    assert {claim.finding for claim in CLAIMS} == {
        "quality_surface", "cross_validation", "preference_match", "less_is_more", "selection_methods",
        "candidate_likelihoods", "augmentation", "base_sizes", "filter_rates", "seamlessness", "cycles", "truth",
    }  # fmt: skip


def test_saturation_needs_the_bend_too():
    numbers = {"q_pm_change": -1.0, "q_pm_change_low": -1.5, "q_pm_change_high": -0.5, "q_pm_change_p": 0.01}
    assert word("Quality after RL flattens as policies", {"quality_surface": numbers}) == "confirmed"
    assert (
        word("Quality after RL flattens as policies", {"quality_surface": numbers | {"q_pm_change_p": 0.2}})
        == "not separated"
    )
    assert word("Quality after RL flattens as reward", {"quality_surface": numbers}) == "not testable"
    rising = numbers | {"q_pm_change_low": 0.5, "q_pm_change_high": 1.5}
    assert word("Quality after RL flattens as policies", {"quality_surface": rising}) == "contradicted"

    for bent, said in ((1.0, "confirmed"), (0.0, "not separated")):
        assert word("Quality after RL flattens as policies", {"quality_surface": numbers | {"bent": bent}}) == said
    plane = verdict({"quality_surface": numbers | {"bent": 0.0}}).rows
    assert any(row[1] == "not separated (no bend found against a plane)" for row in plane)


def test_one_seed_tests_nothing():
    assert filtering(seam_gpt_relative_seeds=1.0) == "not testable"
    assert filtering(seam_gpt_relative_seeds=1.0, seam_gpt_relative_low=-0.01) == "not testable"
    chance = {"random_relative": 0.0, "random_relative_low": -0.01, "random_relative_high": 0.01}
    for seeds, said in ((1.0, "not testable"), (2.0, "confirmed")):
        given = {"selection_methods": chance | {"random_relative_seeds": seeds}}
        assert word("Leaving out as many at random", given) == said
    kept = {"policy_rl_ratio": 1.0, "policy_rl_low": 0.98, "policy_rl_high": 1.02, "policy_rl_ratio_seeds": 1.0}
    assert word("Policies rate as high", {"cross_validation": kept}) == "not testable"


def test_mismatch_and_other_names_of_ends():
    match = {"match_rate": 0.6, "match_low": 0.55, "match_high": 0.64}
    assert word("Reward model and preference disagree", {"preference_match": match}) == "confirmed"
    assert (
        word("Reward model and preference disagree", {"preference_match": match | {"match_high": 0.66}})
        == "not separated"
    )
    assert word("Reward model and preference disagree", {"preference_match": {}}) == "not testable"


def test_the_form_that_selects_is_the_one_judged():
    numbers = {"truth": {
        "auc_llm_log_n": 412, "auc_llm_log_effect": 0.2,
        "auc_llm_log": 0.6, "auc_llm_log_low": 0.55, "auc_llm_log_high": 0.65, "auc_llm_log_p": 0.01,
        "auc_llm_prob": 0.4, "auc_llm_prob_low": 0.35, "auc_llm_prob_high": 0.45, "auc_llm_prob_p": 0.01,
        "prob_minus_log": -0.2, "prob_minus_log_low": -0.3, "prob_minus_log_high": -0.1,
    }}  # fmt: skip
    log, prob = verdict(numbers, "log"), verdict(numbers, "prob")
    (row,) = [row for row in log.rows if str(row[0]).startswith("Where SEAM-GPT is low")]
    assert row[1:4] == ("confirmed", "0.60", "0.55 to 0.65")
    assert row[4:] == ("not tested", 412, "0.010", "–", "r +0.20")
    assert next(r for r in prob.rows if str(r[0]).startswith("Where SEAM-GPT is low"))[1] == "contradicted"
    assert "Confirmed: low SEAM-GPT foretells mismatch; contradicted: prob beats log" in log.answer
    assert log.headline == ("1 of 2", "tested claims confirmed")
    assert log.numbers["confirmed"] == 1


def test_what_was_not_run_is_said():
    found = verdict({})
    assert {row[1] for row in found.rows} == {"not run"}
    assert found.answer == f"Confirmed: none; contradicted: none; {len(found.rows)} claims not run."
    assert found.n == 0
    assert "{" not in "".join(str(row[0]) for row in found.rows)


def test_every_claimed_finding_is_read():
    assert set(CLAIMED) == {claim.finding for claim in CLAIMS}


def test_a_number_without_an_interval_decides_nothing():
    claim = Claim("", "", "", "f", "x")
    assert judged(claim, {"f": {"x": 3.0}}).word == "not testable"
    assert judged(claim, {"f": {"x": 3.0, "x_low": 2.0, "x_high": 4.0}}).word == "confirmed"
    assert judged(claim, {"f": {"x": 3.0, "x_low": 0.0, "x_high": 4.0}}).word == "not separated"
    assert judged(claim, {"f": {"x": 3.0, "x_low": 2.0, "x_high": 4.0, "x_n": 7.0}}).interval.n == 7
    assert judged(claim, {}).word == "not run"


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda c: c.short)
def test_claims_speak_in_one_line(claim: Claim):
    assert len(claim.text) < 110
    assert not claim.text.endswith(".")
