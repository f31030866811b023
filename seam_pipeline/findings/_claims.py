"""What the paper claims, and when a number confirms or contradicts it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ._format import number
from ._statistics import Interval
from .selection_methods import MIN_SEEDS

VERDICTS = ("confirmed", "contradicted", "not separated", "not testable", "not run")
ALPHA = 0.05
PAPER_EFFECT = 0.045
"""The paper's effect of filtering, of the rating: less is no effect worth the name."""
_NOTHING = Interval(None, None, None, 0)
METHODS = {"llm": "seam_gpt", "contrast": "seam_contrast", "adversarial": "seam_adv"}


@dataclass(frozen=True)
class Claim:
    """A claim about `stem` among a finding's numbers, with `_low`, `_high` and, where given, `_p`, `_seed_p`, `_seeds`.

    It says that the number lies above `level`, below it, or, with a `band`, inside that.
    `{variant}`, `{method}`, `{name}` and `{form}` are filled in per variant.
    """

    short: str
    text: str
    paper: str
    finding: str
    stem: str
    level: float = 0.0
    above: bool = True
    band: tuple[float, float] | None = None
    given: tuple[str, str] | None = None
    """A further number that must not be 0, and what it says when it is."""
    ends: str | None = None
    """What `_low`, `_high` and `_n` follow where it is not `stem`."""
    percent: bool = False
    signed: bool = True
    digits: int = 2

    def of(self, variant: str, name: str, form: str) -> "Claim":
        """The claim about one variant."""
        given = {"variant": variant, "method": METHODS.get(variant, variant), "name": name, "form": form}
        filled = {key: getattr(self, key).format(**given) for key in ("short", "text", "stem")}
        return replace(self, **filled)


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict, the estimate and, where it needs saying, the reason."""

    claim: Claim
    word: str
    interval: Interval = _NOTHING
    why: str = ""

    @property
    def text(self) -> str:
        """The estimate as the table shows it."""
        claim = self.claim
        return number(self.interval.value, claim.digits, signed=claim.signed, percent=claim.percent)


def judged(claim: Claim, findings: Mapping[str, Mapping[str, float | None]]) -> Judged:
    """Read by the presence of keys alone: what another finding does not tell is not held against it."""
    known = findings.get(claim.finding)
    if known is None:
        return Judged(claim, "not run")
    ends = claim.ends or claim.stem
    value, low, high = known.get(claim.stem), known.get(f"{ends}_low"), known.get(f"{ends}_high")
    interval = Interval(value, low, high, int(known.get(f"{ends}_n") or 0))
    seeds = known.get(f"{claim.stem}_seeds")
    if value is None:
        return Judged(claim, "not testable", interval, "no number")
    if low is None or high is None:
        return Judged(claim, "not testable", interval, "no interval")
    if seeds is not None and seeds < 2:
        return Judged(claim, "not testable", interval, f"{seeds:.0f} of at least 2 seeds")
    if claim.band is not None:
        inside = claim.band[0] <= low and high <= claim.band[1]
        outside = high < claim.band[0] or low > claim.band[1]
        return Judged(claim, "confirmed" if inside else "contradicted" if outside else "not separated", interval)
    if low <= claim.level <= high:
        return Judged(claim, "not separated", interval)
    doubt = _doubt(claim, known)
    if doubt is not None:
        return Judged(claim, doubt[0], interval, doubt[1])
    return Judged(claim, "confirmed" if (low > claim.level) == claim.above else "contradicted", interval)


def _doubt(claim: Claim, known: Mapping[str, float | None]) -> tuple[str, str] | None:
    """(verdict, why) where the interval is clear but a test is not."""
    if claim.given is not None and known.get(claim.given[0]) == 0:
        return "not separated", claim.given[1]
    key = f"{claim.stem}_p"
    if key in known:
        p = known[key]
        if p is None:
            return "not testable", "no p"
        if p >= ALPHA:
            return "not separated", f"p = {p:.2f}"
    seeds = known.get(f"{claim.stem}_seeds")
    if seeds is None:
        return None
    if seeds < MIN_SEEDS:
        return "not testable", f"{seeds:.0f} of at least {MIN_SEEDS} seeds"
    over = known.get(f"{claim.stem}_seed_p")
    return None if over is not None and over < ALPHA else ("not separated", f"over seeds p = {number(over)}")


def _helps(short: str, text: str, paper: str, finding: str, stem: str) -> Claim:
    return Claim(short, text, paper, finding, stem, percent=True, digits=1)


_BENT = ("bent", "no bend found against a plane")
_UNTESTED = "no truth to test it with"
CLAIMS = (
    Claim(
        "low {name} foretells mismatch",
        "Where {name} is low, the reward model misorders the policy's own answers (AUC above 0.5)",
        _UNTESTED,
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
    _helps(
        "filtering by {name} helps",
        "RL is better without the instructions of lowest {name}",
        "+4.5%",
        "selection_methods",
        "{method}_relative",
    ),
    Claim(
        "random filtering changes nothing",
        "Leaving out as many at random changes the rating by less than 4.5%",
        "no change",
        "selection_methods",
        "random_relative",
        band=(-PAPER_EFFECT, PAPER_EFFECT),
        percent=True,
        digits=1,
    ),
    _helps(
        "40% left out by {name} helps",
        "RL is better without the 40% of lowest {name}",
        "peak at about 40%",
        "filter_rates",
        "{method}_40%_relative",
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
    Claim(
        "policies carry over to the RL questions",
        "Policies rate as high on the RL questions as on their own, within 10%",
        "96%",
        "cross_validation",
        "policy_rl_ratio",
        band=(0.9, 1.1),
        ends="policy_rl",
        percent=True,
        signed=False,
        digits=1,
    ),
    _helps(
        "augmentation by {name} helps",
        "RL is better with models trained on samples like the instructions of lowest {name} than like random ones",
        "+4% over Random",
        "augmentation",
        "{method}_over_random",
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
    _helps(
        "SEAM helps cycles",
        "Cycles of RL that start with SEAM beat the same cycles without",
        "proposed, not run",
        "cycles",
        "seam_against_full",
    ),
)
