"""Length bias: do the misjudgements follow how long a candidate is?"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..findings import Finding, Table
from ..findings._format import number
from ..findings._names import style_of, variant_name
from ..findings._statistics import Interval, bootstrap, mean_interval, ratio_rows, spearman_rows
from ..report.charts import Points, Series, ladder, scatter
from ..report.figures import Figure, Panel
from ._evidence import Evidence, Floats, never_certain

RESAMPLES = 500
BINS = ("much shorter", "shorter", "alike", "longer", "much longer")


def length_bias(evidence: Mapping[str, Evidence]) -> Finding:
    """Does the reward model's preference follow length? Rank correlation of margin and length difference.

    Units are instructions: intervals resample them with all their candidates.
    """
    shown = {v: e for v, e in evidence.items() if len(e.row)}
    found = {v: correlation(e.row, e.longer, e.margin) for v, e in shown.items()}
    rates = {v: _by_bin(e) for v, e in shown.items() if v != "adversarial"}  # all of those are preferred
    panels = tuple(panel for v in shown for panel in _length_panels(v, shown[v], rates.get(v)))
    answer = _length_answer(found)
    return Finding(
        key="length",
        title="Length bias",
        question="Does the reward model mistake length for quality?",
        answer=answer,
        figure=Figure(
            panels,
            f"Margin and rate of misjudgement by length difference. {answer}",
            "Points are candidates; above the dashed line the reward model prefers the candidate. The line shows how "
            "often it does, by how much longer or shorter the candidate is than the golden response (fifths of the "
            "candidates, with 95% intervals).",
        ) if panels else None,
        columns=("variant", "rank correlation", "95% CI", "within one", "95% CI", "candidates", "instructions"),
        rows=tuple(
            (variant_name(v), f.value, f.range_text(), w.value, w.range_text(), len(shown[v].row), f.n)
            for v, (f, w) in found.items()
        ),
        n=max((f.n for f, _ in found.values()), default=0),
        interval="; ".join(f"{variant_name(v)} {f.text()}" for v, (f, _) in found.items()) or "Nothing to estimate.",
        paper=None,
        caveats=(
            "Length is the number of words between spaces; the difference is the candidate's minus the golden one's.",
            "The first correlation is over all candidates, so a short golden response counts with each of its "
            "candidates; “within one” is the mean of each instruction's own correlation, which such "
            "differences between instructions can't cause.",
            "A correlation may come from content: a longer answer to another question is wrong for other reasons too.",
            *(("Adversarial candidates are those that beat the golden response; the correlation is among these only.",)
              if "adversarial" in shown else ()),
        ),
        more=tuple(
            Table(f"Preferred to the golden response, by length difference ({variant_name(v)})",
                  ("candidate is", "words more", "preferred", "95% CI", "candidates"),
                  tuple((name, span, number(i.value, 0, percent=True), i.range_text(0, percent=True), size)
                        for name, span, i, size in rows))
            for v, rows in rates.items()
        ),
        headline=_headline(found),
        numbers={f"{v}_{k}": i.value for v, (f, w) in found.items() for k, i in (("overall", f), ("within", w))},
    )  # fmt: skip


def correlation(row: NDArray[np.intp], x: Floats, y: Floats, seed: int = 0) -> tuple[Interval, Interval]:
    """Spearman's rank correlation of candidates [c] of instructions `row` [c]: (over all, mean within instructions).

    Intervals resample instructions. Instructions with fewer than three candidates, or with one side constant, have
    no correlation of their own and are left out of the second.
    """
    groups = [np.flatnonzero(row == one) for one in np.unique(row)]
    own = [float(spearman_rows(x[None, g], y[None, g])[0]) for g in groups if len(g) >= 3]
    within = mean_interval([value for value in own if np.isfinite(value)], seed)
    value = float(spearman_rows(x[None], y[None])[0]) if len(row) else float("nan")
    if not np.isfinite(value):
        return Interval(None, None, None, len(groups)), within
    if len(groups) < 2:
        return Interval(value, None, None, len(groups)), within
    rng = np.random.default_rng(seed)
    drawn = np.empty(max(100, min(RESAMPLES, 20_000_000 // len(row))))
    for at in range(len(drawn)):
        some = np.concatenate([groups[g] for g in rng.integers(0, len(groups), len(groups))])
        drawn[at] = spearman_rows(x[None, some], y[None, some])[0]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return Interval(value, float(low), float(high), len(groups)), within


def _by_bin(evidence: Evidence) -> list[tuple[str, str, Interval, int]]:
    """(name, span in words, rate of misjudgement, candidates) for fifths of the candidates by length difference."""
    edges = np.unique(np.quantile(evidence.longer, [0.2, 0.4, 0.6, 0.8]))
    place = np.searchsorted(edges, evidence.longer, side="left")
    names = BINS if len(edges) == 4 else tuple(f"fifth {at + 1}" for at in range(len(edges) + 1))
    rows = []
    for at, name in enumerate(names):
        chosen = place == at
        if not chosen.any():
            continue
        spans = evidence.longer[chosen]
        wrong = np.bincount(evidence.row[chosen], weights=evidence.misjudged[chosen].astype(np.float64)).astype(
            np.float64
        )
        sizes = np.bincount(evidence.row[chosen]).astype(np.float64)
        rate = never_certain(bootstrap(ratio_rows, wrong[sizes > 0], sizes[sizes > 0]))
        rows.append((name, f"{spans.min():+.0f} to {spans.max():+.0f}".replace("-", "−"), rate, int(chosen.sum())))
    return rows


def _length_panels(
    variant: str, evidence: Evidence, rates: list[tuple[str, str, Interval, int]] | None
) -> tuple[Panel, ...]:
    style = style_of(variant)
    points = Points(variant_name(variant), evidence.longer.tolist(), evidence.margin.tolist(), style, faint=True)
    panels = [
        scatter(f"length-{variant}", [points], x_label="words more than the golden response",
                y_label="reward − golden reward", title=variant_name(variant), level=0.0),
    ]  # fmt: skip
    if rates:
        bars = Series(variant_name(variant), [interval for _, _, interval, _ in rates], style)
        spans = [span.replace(" to ", "\nto ") for _, span, _, _ in rates]
        panels.append(
            ladder(f"length-rate-{variant}", spans, [bars], x_label="words more than the golden response",
                   y_label="preferred to the golden response", title=variant_name(variant), percent=True)
        )  # fmt: skip
    return tuple(panels)


def _headline(found: Mapping[str, tuple[Interval, Interval]]) -> tuple[str, str] | None:
    for variant, (overall, _) in found.items():
        if overall.value is not None:
            text = "rank correlation of reward margin and length"
            return number(overall.value, signed=True), f"{text} ({variant_name(variant)}; {overall.range_text()})"
    return None


def _length_answer(found: Mapping[str, tuple[Interval, Interval]]) -> str:
    parts = []
    for variant, (overall, _) in found.items():
        if overall.value is None:
            parts.append(f"{variant_name(variant)}: no correlation can be computed")
            continue
        if not overall.excludes(0):
            what = "no length bias is separated from chance"
        else:
            what = "longer candidates are rated higher" if overall.value > 0 else "shorter candidates are rated higher"
        parts.append(f"{variant_name(variant)}: {what}, rank correlation {overall.text()}")
    return ("; ".join(parts) or "No candidate took part, so there is nothing to measure") + "."
