"""What the paper claims, and which number of which finding tells."""

from ._judged import Claim

PAPER_EFFECT = 0.045
"""The paper's effect of filtering, of the rating: less is no effect worth the name."""
PAPER_AUGMENTATION = 0.04
_EQUAL = (-PAPER_EFFECT, PAPER_EFFECT)
_ALIKE = (0.9, 1.1)


def _helps(
    short: str, text: str, paper: str, finding: str, stem: str, size: float | None = None, *, optional: bool = False
) -> Claim:
    return Claim(short, text, paper, finding, stem, size=size, optional=optional, percent=True, digits=1)


def _likelier(name: str, other: str, paper: str, stem: str) -> Claim:
    text = f"The best policy would sooner write the candidates of {name} than those of {other} (nats per token)"
    return Claim(f"{name}'s candidates are likelier than {other}'s", text, paper, "candidate_likelihoods", stem,
                 optional=True)  # fmt: skip


def _keep(short: str, text: str, paper: str, kind: str) -> Claim:
    return Claim(short, text, paper, "cross_validation", f"{kind}_rl_ratio", band=_ALIKE, ends=f"{kind}_rl",
                 percent=True, signed=False, digits=1)  # fmt: skip


_BENT = ("bent", "no bend found against a plane")
_SATURATION = (
    Claim(
        "quality after RL rises with Q_PM",
        "The better the policy, the better it is after RL (rank correlation over cells)",
        "rises",
        "quality_surface",
        "q_pm_rank",
    ),
    Claim(
        "quality after RL rises with Q_RM",
        "The better the reward model, the better the policy after RL (rank correlation over cells)",
        "rises",
        "quality_surface",
        "q_rm_rank",
    ),
    Claim(
        "saturation in Q_PM",
        "Quality after RL flattens as policies get better (change of slope below 0)",
        "flattens",
        "quality_surface",
        "q_pm_change",
        above=False,
        given=_BENT,
    ),
    Claim(
        "saturation in Q_RM",
        "Quality after RL flattens as reward models get better (change of slope below 0)",
        "flattens",
        "quality_surface",
        "q_rm_change",
        above=False,
        given=_BENT,
    ),
)
_MISMATCH = (
    _keep(
        "policies carry over to the RL questions",
        "Policies rate as high on the RL questions as on their own, within 10%",
        "96% kept",
        "policy",
    ),
    _keep(
        "reward models carry over to the RL questions",
        "Reward models are as accurate on the RL questions as on their own, within 10%",
        "stable",
        "reward",
    ),
    Claim(
        "a third of preferences mismatch",
        "Reward model and preference disagree on 35% or more of the answers (match rate below 65%)",
        "60.5% match",
        "preference_match",
        "match_rate",
        level=0.65,
        above=False,
        ends="match",
        percent=True,
        signed=False,
        digits=1,
    ),
    _helps(
        "less is more",
        "RL is better without the mismatched instructions",
        "better, p < 0.05",
        "less_is_more",
        "matched_over_full",
    ),
)
_SCORE = (
    Claim(
        "low {name} foretells mismatch",
        "Where {name} is low, the reward model misorders the policy's own answers (AUC above 0.5)",
        "not tested",
        "truth",
        "auc_{variant}_{form}",
        level=0.5,
        signed=False,
    ),
    Claim(
        "prob beats log",
        "The form prob foretells mismatch better than the paper's log (difference of AUC)",
        "log is used",
        "truth",
        "prob_minus_log",
        digits=3,
    ),
    _likelier("SEAM-GPT", "SEAM-Contrast", "−1.81 against −3.07", "llm_over_contrast"),
    _likelier("SEAM-Contrast", "SEAM-Adv", "−3.07, −9.17 to −9.87", "contrast_over_adversarial"),
    Claim(
        "pairs share their low {name}",
        "The lowest {name} are the same between pairs of models, by more than 60%",
        "72, 64, 69%",
        "seamlessness",
        "overlap_{variant}",
        level=0.6,
        percent=True,
        signed=False,
        digits=1,
    ),
)
_SELECTION = (
    _helps(
        "filtering by {name} helps",
        "RL is better without the instructions of lowest {name}",
        "+4.5%",
        "selection_methods",
        "{method}_relative",
        PAPER_EFFECT,
    ),
    _helps(
        "filtering by {name} beats random filtering",
        "RL is better without the instructions of lowest {name} than without as many at random",
        "better; no number",
        "selection_methods",
        "{method}_over_random",
    ),
    Claim(
        "random filtering changes nothing",
        "Leaving out as many at random changes the rating by less than 4.5%",
        "no change",
        "selection_methods",
        "random_relative",
        band=_EQUAL,
        percent=True,
        digits=1,
    ),
    _helps(
        "SEAM-GPT filters better than SEAM-Contrast",
        "RL is better after filtering by SEAM-GPT than by SEAM-Contrast",
        "GPT > Contrast",
        "selection_methods",
        "seam_gpt_over_seam_contrast",
        optional=True,
    ),
    _helps(
        "SEAM-Contrast filters better than SEAM-Adv",
        "RL is better after filtering by SEAM-Contrast than by SEAM-Adv",
        "Contrast > Adv",
        "selection_methods",
        "seam_contrast_over_seam_adv",
        optional=True,
    ),
    _helps(
        "40% left out by {name} helps",
        "RL is better without the 40% of lowest {name}",
        "peak at about 40%",
        "filter_rates",
        "{method}_40%_relative",
    ),
    Claim(
        "past 40% left out by {name} RL declines",
        "RL is worse without the 80% of lowest {name} than without the 40%",
        "declines",
        "filter_rates",
        "{method}_80%_over_40%",
        above=False,
        percent=True,
        digits=1,
    ),
)
_MODELS = (
    _helps(
        "augmentation by {name} beats random augmentation",
        "RL is better with models trained on samples like the instructions of lowest {name} than like random ones",
        "+4%",
        "augmentation",
        "{method}_over_random",
        PAPER_AUGMENTATION,
    ),
    Claim(
        "augmentation by {name} is about as good as by all",
        "RL after augmentation by the lowest {name} is within 4.5% of that by all instructions",
        "about as good",
        "augmentation",
        "{method}_over_full_aug",
        band=_EQUAL,
        percent=True,
        digits=1,
    ),
    Claim(
        "a larger base does not close the gap",
        "The match rate moves by less than 5 points from the smallest base to the largest",
        "60.5, 60.7, 60.4%",
        "base_sizes",
        "match_change",
        band=(-0.05, 0.05),
        percent=True,
        digits=1,
    ),
    Claim(
        "a larger base makes a better policy",
        "The policy of the largest base rates higher than that of the smallest",
        "5.24, 5.30, 5.35",
        "base_sizes",
        "policy_change",
    ),
    _helps(
        "a larger base makes a better reward model",
        "The reward model of the largest base is more accurate than that of the smallest",
        "66.1, 66.9, 67.6%",
        "base_sizes",
        "reward_change",
    ),
    _helps(
        "SEAM helps cycles",
        "Cycles of RL that start with SEAM beat the same cycles without",
        "proposed, not run",
        "cycles",
        "seam_against_full",
    ),
)
CLAIMS = (*_SATURATION, *_MISMATCH, *_SCORE, *_SELECTION, *_MODELS)
"""In the order of the paper's sections."""
