"""How seamless the pair is: shares, the distribution of the scores, what was measured and what was not."""

from collections.abc import Mapping

import numpy as np

from ..findings import Finding, Table
from ..findings._finding import Row
from ..findings._format import count, number
from ..findings._names import style_of, variant_name
from ..findings._statistics import Interval, bootstrap, ratio_rows, wilson
from ..findings._tables import count_nulls
from ..report.charts import Curve, curves
from ..report.figures import Figure, Panel
from ._evidence import Evidence, never_certain

MOST_POINTS = 200

MEANING = {
    "contrast": "Contrast candidates are good answers to other, similar questions. They are taken to be worse here; "
    "where one happens to fit this question too, preferring it is no mistake.",
    "llm": "LLM candidates were asked to be worse. Whether each one is was not checked.",
    "adversarial": "Adversarial candidates are kept only where they beat the golden response: all of them are "
    "misjudged by construction, and what is measured is on how many instructions an attack succeeded.",
}


def fit(evidence: Mapping[str, Evidence], rate: float) -> Finding:
    """Shares of instructions and candidates that are misjudged, and the sorted scores, per variant."""
    fooled = {v: fooled_share(e) for v, e in evidence.items()}
    answer = _answer(evidence, fooled)
    form = next(iter(evidence.values())).form
    first = next(iter(evidence))
    return Finding(
        key="fit",
        title="The pair as a whole",
        question="How often does the reward model prefer an answer that is worse than the golden one?",
        answer=answer,
        figure=_figure(evidence, rate, answer),
        columns=("variant", "scored", "of", "misjudged instructions", "95% CI", "misjudged candidates", "95% CI"),
        rows=tuple(_shares(v, e, fooled[v]) for v, e in evidence.items()),
        more=(
            Table("Sizes", ("variant", "set size", "nats per token", "median misjudgement in SDs", "median score",
                            "lowest score"), tuple(_sizes(v, e) for v, e in evidence.items())),
        ),
        n=max(i.n for i in fooled.values()),
        interval="; ".join(f"{variant_name(v)} {i.text(0, percent=True)}" for v, i in fooled.items())
        + " of instructions have a misjudged candidate (Wilson).",
        paper=None,
        caveats=(
            *(MEANING[v] for v in evidence),
            "A reward model that only guesses prefers about half of such candidates.",
            f"Scores (form {form}) are sums over a set in units of this reward model's reward: compare instructions "
            "with each other, not this pair with another. The misjudgement in SDs (of the golden responses' rewards) "
            "can be compared between reward models.",
            "Not measured: how good the policy's own answers are, and whether PPO on the filtered set is better. "
            "A good result says that these candidates do not fool the reward model, not that none can.",
        ),
        nulls={k: n for v, e in evidence.items() for k, n in _nulls(v, e).items()},
        headline=(number(fooled[first].value, 0, percent=True),
                  f"of instructions: a worse answer is preferred ({variant_name(first)})")
        if fooled[first].n else None,
        numbers={f"{v}_{name}": value for v, e in evidence.items() for name, value in _numbers(e, fooled[v]).items()},
    )  # fmt: skip


def fooled_share(evidence: Evidence) -> Interval:
    """Share of the scored instructions with a misjudged candidate; for attacks, of those that could be attacked."""
    of = evidence.attacked if evidence.variant == "adversarial" else evidence.scored
    return wilson(int((evidence.fooled & of).sum()), int(of.sum()))


def candidate_share(evidence: Evidence) -> Interval:
    """Share of the candidates that are misjudged, resampling instructions."""
    has = evidence.n_used > 0
    columns = (evidence.wrong[has].astype(np.float64), evidence.n_used[has].astype(np.float64))
    return never_certain(bootstrap(ratio_rows, *columns))


def _shares(variant: str, evidence: Evidence, fooled: Interval) -> Row:
    by_construction = variant == "adversarial"
    share = candidate_share(evidence)
    return (
        variant_name(variant),
        int(evidence.scored.sum()),
        len(evidence.score),
        number(fooled.value, 0, percent=True),
        fooled.range_text(0, percent=True),
        "by construction" if by_construction else number(share.value, 0, percent=True),
        "–" if by_construction else share.range_text(0, percent=True),
    )


def _sizes(variant: str, evidence: Evidence) -> Row:
    used, scores = evidence.n_used[evidence.n_used > 0], evidence.score[evidence.scored]
    return (
        variant_name(variant),
        float(used.mean()) if len(used) else None,
        float(evidence.per_token.mean()) if len(evidence.row) else None,
        _typical_margin(evidence),
        float(np.median(scores)) if len(scores) else None,
        float(scores.min()) if len(scores) else None,
    )


def _typical_margin(evidence: Evidence) -> float | None:
    spread = evidence.golden_spread()
    wrong = evidence.margin[evidence.misjudged]
    return float(np.median(wrong)) / spread if spread and len(wrong) else None


def _numbers(evidence: Evidence, fooled: Interval) -> dict[str, float | None]:
    return {
        "fooled_share": fooled.value,
        "fooled_share_low": fooled.low,
        "fooled_share_high": fooled.high,
        "candidate_share": candidate_share(evidence).value,
        "median_misjudgement_in_sds": _typical_margin(evidence),
        "nats_per_token": float(evidence.per_token.mean()) if len(evidence.row) else None,
    }


def _nulls(variant: str, evidence: Evidence) -> dict[str, int]:
    name = variant_name(variant)
    return count_nulls(
        [evidence.scores], f"seam_{evidence.form}", f"{name}, instruction without a score"
    ) | count_nulls([evidence.parts], "misjudgement", f"{name}, candidate left out")


def _figure(evidence: Mapping[str, Evidence], rate: float, answer: str) -> Figure | None:
    panels = tuple(_panel(v, e) for v, e in evidence.items() if e.scored.any())
    caption = (
        f"The scored instructions from the lowest score to the highest. The lowest {rate:.0%} of all instructions are "
        "left out of the filtered dataset; at zero no candidate is preferred."
    )
    return Figure(panels, f"Sorted SEAM scores. {answer}", caption) if panels else None


def _panel(variant: str, evidence: Evidence) -> Panel:
    scores = np.sort(evidence.score[evidence.scored])
    at = np.unique(np.linspace(0, len(scores) - 1, min(MOST_POINTS, len(scores))).round().astype(int))
    shares = (at + 1) / len(scores) * 100
    return curves(
        f"fit-{variant}",
        [Curve(variant_name(variant), shares.tolist(), scores[at].tolist(), style_of(variant))],
        x_label="% of scored instructions",
        y_label=f"SEAM ({evidence.form.replace('_', ' ')})",
        title=variant_name(variant),
        level=0.0,
    )


def _answer(evidence: Mapping[str, Evidence], fooled: Mapping[str, Interval]) -> str:
    parts = []
    for variant, one in evidence.items():
        name, share, n = variant_name(variant), fooled[variant].text(0, percent=True), fooled[variant].n
        if not n or not len(one.row):
            parts.append(f"with {name} no candidate took part, so nothing is known")
        elif variant == "adversarial":
            parts.append(
                f"with {name} an attack succeeded on {share} of {count(n, 'instruction')} with a worse response"
            )
        else:
            of_all = number(candidate_share(one).value, 0, percent=True)
            where = f"on {share} of {count(n, 'scored instruction')} and for {of_all} of the candidates"
            parts.append(f"with {name} it prefers a worse answer {where}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."
