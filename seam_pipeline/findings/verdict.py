"""Is SEAM true? The study's claims, each against the numbers of the finding that tested it."""

from collections.abc import Mapping, Sequence

from ._claims import CLAIMS
from ._finding import Finding, Row
from ._format import count, listing
from ._judged import VERDICTS, Claim, Judged, judged
from ._names import VARIANTS
from ._statistics import p_number

Numbers = Mapping[str, Mapping[str, float | None]]
"""Of each finding by its key: `Finding.numbers`."""


def verdict(numbers: Numbers, form: str = "log") -> Finding:
    """One row per claim: confirmed, contradicted, not separated, not testable or not run.

    `form` is the form of the score that the experiment selects by. A claim needs its 95% interval on one side of no
    effect, and where the finding gives them a corrected p and a p over seeds below 0.05.
    """
    found = [judged(claim, numbers) for claim in _claims(numbers, form)]
    by_word = {word: [one for one in found if one.word == word] for word in VERDICTS}
    answer = _answer(by_word)
    confirmed, tested = len(by_word["confirmed"]), sum(len(by_word[word]) for word in VERDICTS[:3])
    return Finding(
        key="verdict",
        title="Is SEAM true?",
        question="Which of the paper's claims does this study confirm?",
        answer=answer,
        figure=None,
        columns=("claim", "verdict", "measured", "95% CI", "the paper", "n", "p (Holm)", "p over seeds",
                 "effect size"),
        rows=tuple(_row(one) for one in found),
        n=tested,
        interval="Per claim in the table, from its own section.",
        paper="Filtering by SEAM +4.5%, augmentation +4%, a mismatch with 35% of the preferences (abstract).",
        caveats=(
            "Not separated means that neither the claim nor its opposite is shown, not that there is no effect.",
            "p is corrected by Holm over what its section tests together (all selection methods, all filter rates, all "
            "scores, ...), not over this table; the two bends need a test of both at once before. Intervals are not "
            "corrected. Of claims that two things are alike there is no p: the whole interval must lie in the band.",
            "Claims about filtering, augmentation and cycles need p < 0.05 over questions (Holm) and over seeds "
            "(uncorrected, since six seeds, the fewest that can reach it, leave no room for a correction); that two "
            "things are alike must hold for the interval over seeds too. Below two nothing about runs is testable.",
            "Those seeds are of RL: policies, reward models and augmented models are trained once, except in the "
            "cross-validation. Each size of base is trained once, so its claims are not testable.",
            "Effect sizes: Cohen's d_z of paired differences over the n of the row, Cohen's h of a rate against its "
            "level, r = 2 AUC − 1; a dash where the measured number is its own effect size.",
        ),
        unit="tested claim",
        headline=(f"{confirmed} of {tested}", "tested claims confirmed"),
        numbers={word.replace(" ", "_"): len(by_word[word]) for word in VERDICTS},
    )  # fmt: skip


def _claims(numbers: Numbers, form: str) -> list[Claim]:
    """Those of all studies, the general ones once per variant that was scored."""
    found: list[Claim] = []
    for claim in CLAIMS:
        if "{" not in claim.stem:
            found.append(claim)
            continue
        stems = numbers.get(claim.finding, {})
        each = [claim.of(v, name, form) for v, name in VARIANTS.items()]
        present = [one for one in each if one.stem in stems]
        found += present or [claim.of("any", "SEAM", form)]
    return found


def _row(one: Judged) -> Row:
    claim, ends = one.claim, one.interval
    return (
        claim.text,
        f"{one.word} ({one.why})" if one.why else one.word,
        one.text,
        "–" if ends.low is None else ends.range_text(claim.digits, signed=claim.signed, percent=claim.percent),
        claim.paper,
        ends.n or None,
        p_number(one.p),
        p_number(one.seed_p),
        one.effect,
    )


def _answer(by_word: Mapping[str, Sequence[Judged]]) -> str:
    def names(word: str) -> str:
        return listing([one.claim.short for one in by_word[word]]) or "none"

    silent = [count(len(by_word[word]), "claim") + f" {word}" for word in VERDICTS[2:] if by_word[word]]
    return (
        f"Confirmed: {names('confirmed')}; contradicted: {names('contradicted')}"
        + (f"; {', '.join(silent)}" if silent else "")
        + "."
    )
