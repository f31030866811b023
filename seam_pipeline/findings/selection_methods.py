"""Does filtering by SEAM help RL? The paper's Fig. 6, tested over questions and over seeds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from seam_pipeline.report.charts import forest
from seam_pipeline.report.figures import Figure

from ._finding import Finding, Row, Table
from ._format import count, listing, number
from ._names import in_order, method_name, style_of
from ._statistics import Interval, Significance, bootstrap, holm, mean_interval, p_text, ratio_rows, sign_flip, wilcoxon
from ._tables import Cell, by_id, count_nulls, judge_caveats, rating_label, ratings, small_sample

Answers = Mapping[str, Mapping[Cell, pa.Table]]
_Rated = dict[tuple[Cell, int, str], float]


@dataclass(frozen=True)
class Comparison:
    """A method against the full set over the same cells, seeds and questions."""

    method: str
    quality: Interval
    difference: Interval
    relative: Interval
    questions: Significance
    seeds: Significance
    cells: int
    runs: int


def selection_methods(answers: Answers, policy_quality: Mapping[int, pa.Table], rate: float = 0.2) -> Finding:
    """Rating after RL per selection method, and its difference from the full set.

    `answers` are ANSWERS tables by method and cell; `policy_quality` those of the policies before RL, by rank. Everything
    is compared on the (cell, seed, question) triples that both sides rated. Questions are the units of the interval and
    of Wilcoxon's test (Holm over methods), seeds those of the exact sign-flip test.
    """
    rated = {method: _rated(tables) for method, tables in answers.items()}
    others = [method for method in in_order(answers) if method != "full"]
    full = rated.get("full", {})
    found = [compare(method, rated[method], full) for method in others]
    adjusted = holm([one.questions.p for one in found])
    answer = _answer(found, adjusted)
    caveats = [*judge_caveats(t for tables in answers.values() for t in tables.values())]
    max((one.cells for one in found), default=0)
    seeds = max((one.seeds.n for one in found), default=0)
    if seeds < 6:
        caveats.append(
            f"{count(seeds, 'seed')} per cell: an exact test over fewer than six seeds cannot reach p < 0.05, so the "
            "interval over questions speaks for these training runs, not for others."
        )
    n = min((one.difference.n for one in found), default=0)
    best = max(
        (one for one in found if one.relative.value is not None), key=lambda one: one.relative.value or 0, default=None
    )
    return Finding(
        key="selection_methods",
        title="Figure 6: selection methods",
        question=f"Does leaving out the {rate:.0%} of instructions with the lowest scores give a better model?",
        answer=answer,
        figure=_figure(found, full, policy_quality, answers, answer),
        columns=("method", "cells", "runs", "rating", "difference from full", "95% CI", "relative", "p over questions (Holm)",
                 "test over seeds"),
        rows=tuple(_row(one, p) for one, p in zip(found, adjusted, strict=True)),
        n=n,
        interval="; ".join(f"{method_name(one.method)} {one.relative.text(1, signed=True, percent=True)}" for one in found)
        + "; relative to full, paired bootstrap over questions.",
        paper="SEAM filtering +4.5% (abstract), GPT > Contrast > Adv, random no change (Fig. 6, top-5 pairs).",
        caveats=(*caveats, *small_sample(n, "question")),
        nulls=count_nulls((t for tables in answers.values() for t in tables.values()), "rating", "answer without a rating"),
        unit="test question",
        more=(Table("Mean rating before and after RL, over each method's own cells",
                    ("what", "cells", "mean rating", "95% CI", "n"), _levels(rated, policy_quality)),),
        headline=None if best is None
        else (number(best.relative.value, 1, signed=True, percent=True), f"{method_name(best.method)} against the full set"),
        numbers={f"{one.method}_relative": one.relative.value for one in found},
    )  # fmt: skip


def compare(method: str, rated: _Rated, full: _Rated) -> Comparison:
    """Paired comparison over the (cell, seed, question) triples that both rated."""
    shared = sorted(rated.keys() & full.keys())
    per_question: dict[str, list[tuple[float, float]]] = {}
    per_seed: dict[int, list[float]] = {}
    for key in shared:
        per_question.setdefault(key[2], []).append((rated[key], full[key]))
        per_seed.setdefault(key[1], []).append(rated[key] - full[key])
    pairs = np.array([np.mean(values, axis=0) for _, values in sorted(per_question.items())]).reshape(-1, 2)
    ours, theirs = pairs[:, 0], pairs[:, 1]
    return Comparison(
        method=method,
        quality=mean_interval(ours),
        difference=mean_interval(ours - theirs),
        relative=bootstrap(ratio_rows, ours - theirs, theirs),
        questions=wilcoxon(ours - theirs),
        seeds=sign_flip([float(np.mean(values)) for _, values in sorted(per_seed.items())]),
        cells=len({cell for cell, _, _ in shared}),
        runs=len({(cell, seed) for cell, seed, _ in shared}),
    )


def _rated(tables: Mapping[Cell, pa.Table]) -> _Rated:
    return {(cell, *key): rating for cell, table in tables.items() for key, rating in ratings(table).items()}


def _row(one: Comparison, p: float | None) -> Row:
    return (
        method_name(one.method),
        one.cells,
        one.runs,
        one.quality.value,
        number(one.difference.value, 3, signed=True),
        one.difference.range_text(3, signed=True),
        number(one.relative.value, 1, signed=True, percent=True),
        p_text(p),
        one.seeds.text,
    )


def _levels(rated: Mapping[str, _Rated], policy_quality: Mapping[int, pa.Table]) -> tuple[Row, ...]:
    """Mean ratings: the policies that RL started from, then each method over whatever cells it ran."""
    rows: list[Row] = []
    ranks = {cell[0] for values in rated.values() for cell, _, _ in values}
    before = [policy_quality[rank] for rank in sorted(ranks) if rank in policy_quality]
    if before:
        start = mean_interval(list(by_id([ratings(table) for table in before]).values()))
        rows.append(("Policies before RL", len(before), start.value, start.range_text(), start.n))
    for method in in_order(rated):
        values: dict[str, list[float]] = {}
        for (_, _, identity), rating in sorted(rated[method].items()):
            values.setdefault(identity, []).append(rating)
        mean = mean_interval([float(np.mean(v)) for _, v in sorted(values.items())])
        cells = len({cell for cell, _, _ in rated[method]})
        rows.append((method_name(method), cells, mean.value, mean.range_text(), mean.n))
    return tuple(rows)


def _figure(
    found: list[Comparison], full: _Rated, policy_quality: Mapping[int, pa.Table], answers: Answers, answer: str
) -> Figure | None:
    if not found:
        return None
    label = rating_label(t for tables in answers.values() for t in tables.values())
    percent = [
        (method_name(one.method), Interval(*(None if v is None else 100 * v for v in one.relative[:3]), one.relative.n),
         style_of(one.method))
        for one in found
    ]  # fmt: skip
    marks = [4.5 if one.method == "seam_gpt" else 0.0 if one.method == "random" else None for one in found]
    panels = [
        forest("selection", percent, x_label="change of the mean rating against the full set (%)", title="Effect of selection",
               reference=(0.0, "full set"), marks=marks, marks_label="the paper"),
    ]  # fmt: skip
    levels = [
        (f"{method_name(one.method)}", one.quality, style_of(one.method))
        for one in found
        if one.quality.value is not None
    ]
    cells = {cell for cell, _, _ in full}
    ranks = [rank for rank in sorted({pm for pm, _ in cells}) if rank in policy_quality]
    if ranks:
        start = mean_interval(list(by_id([ratings(policy_quality[rank]) for rank in ranks]).values()))
        levels.insert(0, ("Before RL", start, 6))
    panels.append(forest("selection-level", levels, x_label=label, title="Mean rating"))
    return Figure(
        tuple(panels),
        f"Forest plot of each selection method against the full set. {answer}",
        "Bars are 95% intervals over questions, paired with the full set on the left. The paper's diamonds: +4.5% is its "
        "headline for SEAM (shown at SEAM-GPT, its best variant), random is reported as no change.",
    )


def _answer(found: list[Comparison], adjusted: list[float | None]) -> str:
    known = [(one, p) for one, p in zip(found, adjusted, strict=True) if one.relative.value is not None]
    if not known:
        return "No method shares a cell, a seed and a question with the full set: nothing to compare."

    def name(one: Comparison) -> str:
        return f"{method_name(one.method)} ({number(one.relative.value, 1, signed=True, percent=True)})"

    clear = [one for one, p in known if one.difference.excludes(0) and p is not None and p < 0.05]
    better = [name(one) for one in clear if (one.difference.value or 0) > 0]
    worse = [name(one) for one in clear if (one.difference.value or 0) < 0]
    rest = [name(one) for one, _ in known if one not in clear]
    parts = []
    if better:
        parts.append(f"{listing(better)} beat the full set over questions")
    if worse:
        parts.append(f"{listing(worse)} fell below it" if better else f"{listing(worse)} fell below the full set")
    if rest:
        parts.append(f"{listing(rest)} {'is' if len(rest) == 1 else 'are'} not separated from the full set at 95%")
    seams = sorted(
        (one for one, _ in known if one.method.startswith("seam_")), key=lambda one: -(one.relative.value or 0)
    )
    order = " > ".join(method_name(one.method).removeprefix("SEAM-") for one in seams)
    tail = f"; SEAM variants by point estimate: {order}" if len(seams) > 1 else ""
    return "; ".join(parts) + tail + "."
