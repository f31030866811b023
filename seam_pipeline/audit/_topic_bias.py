"""Topic bias: where do the misjudgements gather?"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..findings import Finding
from ..findings._format import number
from ..findings._names import style_of, variant_name
from ..findings._statistics import Interval, holm, mean_interval, p_text
from ..report.charts import forest
from ..report.figures import Figure
from ._evidence import Evidence, Floats, never_certain
from ._topics import Topics

FLIPS, MANY = 4999, 3000
FEWEST = 5
"""Topics with fewer scored instructions are put together."""


def topic_bias(evidence: Mapping[str, Evidence], topics: Topics, seed: int = 0) -> Finding:
    """Where the misjudgements gather: mean share of an instruction's candidates that are misjudged, by topic."""
    shown = {v: e for v, e in evidence.items() if len(e.row)}
    tables = {v: _topic_rows(e, topics, seed) for v, e in shown.items()}
    panels = tuple(
        forest(f"topics-{v}", [(_short(name), rate, style_of(v)) for name, rate, _, _ in rows],
               x_label="share misjudged", title=variant_name(v),
               reference=(_overall(shown[v]), "all"))
        for v, rows in tables.items() if rows
    )  # fmt: skip
    source = "clusters of their embeddings, named by their own words" if topics.found else f"column {topics.column}"
    tested = sum(p is not None for rows in tables.values() for _, _, p, _ in rows)
    answer = _topic_answer(tables, tested)
    return Finding(
        key="topics",
        title="Topic bias",
        question="On which topics does the reward model misjudge most?",
        answer=answer,
        figure=Figure(panels, f"Rate of misjudgement by topic. {answer}",
                      "The dashed line is the mean over all instructions of the variant.") if panels else None,
        columns=("variant", "topic", "misjudged", "95% CI", "against the others", "instructions"),
        rows=tuple(
            (variant_name(v), name, number(rate.value, 0, percent=True), rate.range_text(0, percent=True),
             p_text(p), n)
            for v, rows in tables.items() for name, rate, p, n in rows
        ),
        n=max((int(e.scored.sum()) for e in shown.values()), default=0),
        interval="Bootstrap over instructions"
        + (f"; p by permutation of the topic's label, Holm over {tested} tests." if tested else "."),
        paper=None,
        caveats=(
            f"Topics: {source}. Those with fewer than {FEWEST} scored instructions stand together as “(small topics)”.",
            "The rate is the mean over instructions of the share of their candidates that the reward model prefers to "
            "the golden response.",
            *(("With column topics an instruction may count in several of them.",) if not topics.found else ()),
            *(("Adversarial candidates are all preferred by construction: their rate is 100% everywhere and says "
               "nothing; its rows here are the share of instructions on which an attack succeeded.",)
              if "adversarial" in shown else ()),
        ),
        numbers={f"{v}_{name}": rate.value for v, rows in tables.items() for name, rate, _, _ in rows},
    )  # fmt: skip


def _shares(evidence: Evidence) -> Floats:
    """Per instruction [n] the share of misjudged candidates, NaN without any; for attacks, whether one succeeded."""
    if evidence.variant == "adversarial":
        return np.where(evidence.attacked, evidence.fooled.astype(np.float64), np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(evidence.n_used > 0, evidence.wrong / evidence.n_used, np.nan)


def _overall(evidence: Evidence) -> float:
    return float(np.nanmean(_shares(evidence)))


def _topic_rows(evidence: Evidence, topics: Topics, seed: int) -> list[tuple[str, Interval, float | None, int]]:
    """(topic, rate, Holm-adjusted p against the other instructions, instructions) by falling rate."""
    share = _shares(evidence)
    known = np.isfinite(share)
    groups = {name: [at for at in places if known[at]] for name, places in topics.members.items()}
    small = sorted({at for places in groups.values() if len(places) < FEWEST for at in places})
    kept = {name: places for name, places in groups.items() if len(places) >= FEWEST}
    if small and kept:
        kept["(small topics)"] = small
    rows = []
    for name, places in kept.items():
        inside = np.zeros(len(share), np.bool_)
        inside[places] = True
        p = permutation_p(share[known], inside[known], seed) if len(places) >= FEWEST and len(kept) > 1 else None
        rows.append((name, never_certain(mean_interval(share[places])), p, len(places)))
    adjusted = holm([p for _, _, p, _ in rows])
    rows = [(name, rate, p, n) for (name, rate, _, n), p in zip(rows, adjusted, strict=True)]
    return sorted(rows, key=lambda row: (-(row[1].value or 0.0), row[0]))


def permutation_p(values: Floats, inside: NDArray[np.bool_], seed: int = 0) -> float | None:
    """Two-sided p of the difference of means inside and outside a group, by permutation of who is inside.

    None when everyone is inside or nobody is. The smallest possible p is 1 / (FLIPS + 1); beyond MANY instructions the
    permutations' normal limit takes their place.
    """
    size, n = int(inside.sum()), len(values)
    if size in (0, n):
        return None
    centred = values - values.mean()
    seen = abs(float(centred[inside].sum()))
    if n > MANY:
        spread = math.sqrt(size * (n - size) / (n - 1) * float((centred**2).mean()))
        return math.erfc(seen / spread / math.sqrt(2)) if spread else 1.0
    rng = np.random.default_rng(seed)
    order = np.argsort(rng.random((FLIPS, n)), axis=1)[:, :size]
    return float((1 + (np.abs(centred[order].sum(axis=1)) >= seen - 1e-12).sum()) / (FLIPS + 1))


def _short(name: str) -> str:
    return name if len(name) <= 26 else name[:25] + "…"


def _topic_answer(tables: Mapping[str, list[tuple[str, Interval, float | None, int]]], tested: int) -> str:
    parts = []
    for variant, rows in tables.items():
        apart = [row for row in rows if row[2] is not None and row[2] < 0.05]
        if apart:
            text = "; ".join(
                f"{name} ({number(rate.value, 0, percent=True)}, {p_text(p)})" for name, rate, p, _ in apart[:3]
            )
            parts.append(f"{variant_name(variant)}: set apart from the rest are {text}")
        elif len(rows) == 1:
            parts.append(f"{variant_name(variant)}: all are in one topic, {rows[0][0]}, so there is none to set apart")
        elif rows:
            first = rows[0]
            parts.append(
                f"{variant_name(variant)}: no topic is separated from the rest; the highest rate is "
                f"{number(first[1].value, 0, percent=True)} ({first[0]})"
            )
    if not parts:
        return "There are too few scored instructions to group."
    return "; ".join(parts) + (f". {tested} tests, corrected (Holm)." if tested else ".")
