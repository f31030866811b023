"""When a finding's numbers confirm or contradict a claim."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ._comparison import ALPHA, MIN_SEEDS
from ._format import number
from ._statistics import Interval

VERDICTS = ("confirmed", "contradicted", "not separated", "not testable", "not run")
METHODS = {"llm": "seam_gpt", "contrast": "seam_contrast", "adversarial": "seam_adv"}
_NOTHING = Interval(None, None, None, 0)
Known = Mapping[str, float | None]


@dataclass(frozen=True)
class Claim:
    """A claim about `stem` among a finding's numbers, with `_low`, `_high` and, where given, `_p`, `_dz`, `_seeds`, ...

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
    size: float | None = None
    """The effect that the paper reports, where it gives one."""
    optional: bool = False
    """A finding without the number did not run what it takes."""
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
    """A claim with its verdict, the estimate, its tests and, where it needs saying, the reason."""

    claim: Claim
    word: str
    interval: Interval = _NOTHING
    why: str = ""
    p: float | None = None
    """Corrected within its section; None where there is no test, as of a claim with a band."""
    seed_p: float | None = None
    effect: str = "–"

    @property
    def text(self) -> str:
        """The estimate as the table shows it."""
        claim = self.claim
        return number(self.interval.value, claim.digits, signed=claim.signed, percent=claim.percent)


def judged(claim: Claim, findings: Mapping[str, Known]) -> Judged:
    """Read by the presence of keys alone: what another finding does not tell is not held against it."""
    known = findings.get(claim.finding)
    if known is None or (claim.optional and claim.stem not in known):
        return Judged(claim, "not run")
    ends = claim.ends or claim.stem
    value, low, high = known.get(claim.stem), known.get(f"{ends}_low"), known.get(f"{ends}_high")
    interval = Interval(value, low, high, int(known.get(f"{ends}_n") or 0))
    word, why = _verdict(claim, known, interval)
    tests = (None, None) if claim.band else (known.get(f"{claim.stem}_p"), known.get(f"{claim.stem}_seed_p"))
    return Judged(claim, word, interval, why, *tests, _effect(claim, known))


def _verdict(claim: Claim, known: Known, interval: Interval) -> tuple[str, str]:
    """(verdict, why)"""
    low, high = interval.low, interval.high
    if interval.value is None:
        return "not testable", "no number"
    if low is None or high is None:
        return "not testable", "no interval"
    for what in ("seeds", "trainings"):
        n = known.get(f"{claim.stem}_{what}")
        if n is not None and n < 2:
            return "not testable", f"{n:.0f} of at least 2 {what}"
    if claim.band is not None:
        return _within(claim.band, low, high, known.get(f"{claim.stem}_seed_low"), known.get(f"{claim.stem}_seed_high"))
    doubt = ("not separated", "") if low <= claim.level <= high else _doubt(claim, known)
    if doubt is None:
        return ("confirmed" if (low > claim.level) == claim.above else "contradicted"), ""
    if claim.size is not None and doubt[0] == "not separated" and not low <= claim.size <= high:
        beyond = f"the paper's {number(claim.size, 1, signed=True, percent=True)} lies outside"
        return doubt[0], "; ".join(part for part in (doubt[1], beyond) if part)
    return doubt


def _within(
    band: tuple[float, float], low: float, high: float, seed_low: float | None, seed_high: float | None
) -> tuple[str, str]:
    """Inside the band over questions, and where known over seeds."""
    if high < band[0] or low > band[1]:
        return "contradicted", ""
    if not (band[0] <= low and high <= band[1]):
        return "not separated", ""
    if seed_low is None or seed_high is None or (band[0] <= seed_low and seed_high <= band[1]):
        return "confirmed", ""
    ends = Interval(None, seed_low, seed_high, 0).range_text(1, signed=True, percent=True)
    return "not separated", f"over seeds {ends}"


def _doubt(claim: Claim, known: Known) -> tuple[str, str] | None:
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


def _effect(claim: Claim, known: Known) -> str:
    """Cohen's d_z over the units of the interval, h of a rate, r of an AUC; a dash where the number is its own."""
    for key, name in (("dz", "d_z"), ("h", "h"), ("effect", "r")):
        value = known.get(f"{claim.stem}_{key}")
        if value is not None:
            return f"{name} {number(value, signed=True)}"
    return "–"
