"""Do the audit's candidate sets agree on the bad instructions?"""

from collections.abc import Mapping

from ..findings import Finding
from ..findings._format import number
from ..findings._names import variant_name
from ._evidence import Evidence
from .compare import Result, compare_scores


def agreement(evidence: Mapping[str, Evidence], rate: float) -> Finding:
    """Rank correlation and overlap of the lowest-`rate` sets between the variants."""
    results = [Result.of_tables(v, e.scores, variant=v) for v, e in evidence.items()]
    form = next(iter(evidence.values())).form
    pairs = [pair for pair in compare_scores(results, rate, (form,)) if pair.form_a == pair.form_b]
    parts = [
        f"{number(p.overlap.value, 0, percent=True)} between {variant_name(p.a)} and {variant_name(p.b)}"
        for p in pairs
        if p.overlap.value is not None
    ]
    answer = f"The lowest {rate:.0%} overlap by {'; '.join(parts)}." if parts else "The variants share no scored rows."
    return Finding(
        key="agreement",
        title="Agreement of the candidate sets",
        question="Do the candidate sets point at the same instructions?",
        answer=f"{answer} Unrelated sets would overlap by {rate:.0%}.",
        figure=None,
        columns=("A", "B", "Spearman", "95% CI", "Kendall", f"lowest {rate:.0%} shared", "95% CI", "instructions"),
        rows=tuple(
            (variant_name(p.a), variant_name(p.b), p.spearman.value, p.spearman.range_text(), p.kendall,
             number(p.overlap.value, 0, percent=True), p.overlap.range_text(0, percent=True), p.n)
            for p in pairs
        ),
        n=max((p.n for p in pairs), default=0),
        interval="Overlap: Wilson. Correlation: Fisher's z over the instructions that both score.",
        paper=None,
        caveats=("Compared over the instructions that both variants score.",),
        numbers={f"overlap_{p.a}_{p.b}": p.overlap.value for p in pairs},
    )  # fmt: skip
