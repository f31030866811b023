"""Does filtering by SEAM help RL? The paper's Fig. 6, tested over questions and over seeds."""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pyarrow as pa

from seam_pipeline.report.charts import forest
from seam_pipeline.report.figures import Figure

from ._agreement import agreement
from ._comparison import (
    EFFECT,
    TESTS,
    Comparison,
    Rated,
    compare,
    interval_text,
    numbers_of,
    rated_triples,
    seeds_caveat,
    seeds_text,
)
from ._finding import Finding, Row, Table
from ._format import listing, number
from ._length_control import by_length_alone, each_at_equal_length, equal_length_table
from ._names import drawn_once, in_order, method_name, notes_on, style_of
from ._statistics import Interval, holm, mean_interval
from ._tables import Cell, by_id, count_nulls, judge_caveats, rating_label, ratings, small_sample

Answers = Mapping[str, Mapping[Cell, pa.Table]]


def selection_methods(
    answers: Answers,
    policy_quality: Mapping[int, pa.Table],
    rate: float = 0.2,
    selected: Mapping[str, pa.Table] | None = None,
    pair: Cell = (1, 1),
) -> Finding:
    """Rating after RL per selection method, and its difference from the full set.

    `answers` are ANSWERS tables by method and cell; `policy_quality` those of the policies before RL, by rank;
    `selected` are SELECTED tables of `pair` by method, also of methods without RL runs, for their overlaps.
    Everything is compared on the (cell, seed, question) triples that both sides rated. Questions are the units of the
    interval and of Wilcoxon's test (Holm over methods), seeds those of the exact sign-flip test.
    """
    rated = {method: rated_triples(tables) for method, tables in answers.items()}
    others = [method for method in in_order(answers) if method != "full"]
    full = rated.get("full", {})
    found = [compare(method, rated[method], full) for method in others]
    adjusted = holm([one.questions.p for one in found])
    rivals = _rivals(rated)
    length = each_at_equal_length(answers)
    over_rivals = holm([one.questions.p for _, _, one in rivals])
    answer = _answer(found, adjusted)
    tables = [table for per_cell in answers.values() for table in per_cell.values()]
    n = min((one.difference.n for one in found), default=0)
    return Finding(
        key="selection_methods",
        title="Figure 6: selection methods",
        question=f"Does leaving out the {rate:.0%} of instructions with the lowest scores give a better model?",
        answer=answer,
        figure=_figure(found, full, policy_quality, answers, answer),
        columns=("method", "cells", "runs", "rating", "difference from full", *EFFECT, *TESTS),
        rows=tuple(_row(one, p) for one, p in zip(found, adjusted, strict=True)),
        n=n,
        interval=interval_text([(method_name(one.method), one) for one in found if one.method.startswith("seam_")],
                               "the full set"),
        paper="SEAM filtering +4.5% (abstract), GPT > Contrast > Adv, random no change (Fig. 6, top-5 pairs).",
        caveats=(
            *judge_caveats(tables),
            *by_length_alone(length),
            *seeds_caveat(found),
            *drawn_once(answers),
            *notes_on({*answers, *(selected or {})}),
            *small_sample(n, "question"),
        ),
        nulls=count_nulls(tables, "rating", "answer without a rating"),
        unit="test question",
        more=(Table("Mean rating before and after RL, over each method's own cells: compare where these are the same",
                    ("what", "cells", "mean rating", "95% CI", "n"), _levels(rated, policy_quality)),
              *_head_to_head(rivals, over_rivals),
              *equal_length_table(length), *agreement(selected or {}, pair, rate)),
        headline=_headline(found),
        numbers=numbers_of([(f"{one.method}_relative", one) for one in found], adjusted)
        | numbers_of([(f"{a}_over_{b}", one) for a, b, one in rivals], over_rivals),
    )  # fmt: skip


def _rivals(rated: Mapping[str, Rated]) -> list[tuple[str, str, Comparison]]:
    """SEAM's variants against random and against each other, where both ran the same cells and seeds."""
    seams = [method for method in in_order(rated) if method.startswith("seam_")]
    pairs = [(method, "random") for method in seams if "random" in rated] + list(combinations(seams, 2))
    found = [(a, b, compare(a, rated[a], rated[b])) for a, b in pairs]
    return [one for one in found if one[2].difference.value is not None]


def _head_to_head(rivals: list[tuple[str, str, Comparison]], adjusted: list[float | None]) -> tuple[Table, ...]:
    rows = tuple(
        (f"{method_name(a)} less {method_name(b)}", one.runs, *one.effect(p))
        for (a, b, one), p in zip(rivals, adjusted, strict=True)
    )
    caption = "SEAM against as many left out at random, and its variants against each other"
    return (Table(caption, ("comparison", "runs", "difference", *EFFECT, *TESTS), rows),) if rows else ()


def _headline(found: list[Comparison]) -> tuple[str, str] | None:
    """The first SEAM variant in the study's order, not the best of those seen."""
    for one in found:
        if one.relative.value is not None and one.method.startswith("seam_"):
            change = number(one.relative.value, 1, signed=True, percent=True)
            return change, f"rating, RL after filtering by {method_name(one.method)} against all"
    return None


def _row(one: Comparison, p: float | None) -> Row:
    return (
        method_name(one.method),
        one.cells,
        one.runs,
        *one.tested(p),
    )


def _levels(rated: Mapping[str, Rated], policy_quality: Mapping[int, pa.Table]) -> tuple[Row, ...]:
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
    found: list[Comparison], full: Rated, policy_quality: Mapping[int, pa.Table], answers: Answers, answer: str
) -> Figure | None:
    if not found:
        return None
    label = rating_label(t for tables in answers.values() for t in tables.values())
    percent = [
        (method_name(one.method), one.relative.scaled(100),
         style_of(one.method))
        for one in found
    ]  # fmt: skip
    marks = [4.5 if one.method == "seam_gpt" else 0.0 if one.method == "random" else None for one in found]
    panels = [
        forest("selection", percent, x_label="change of the mean rating against the full set (%)",
               title="Effect of selection", reference=(0.0, "full set"), marks=marks, marks_label="the paper"),
    ]  # fmt: skip
    panels.append(forest("selection-level", _level_rows(found, full, answers, policy_quality), x_label=label,
                         title="Mean rating over the same runs"))  # fmt: skip
    return Figure(
        tuple(panels),
        f"Forest plot of each selection method against the full set. {answer}",
        "Bars are 95% intervals over questions, paired with the full set on the left. The paper's diamonds: +4.5% is "
        "its headline for SEAM (shown at SEAM-GPT, its best variant), random is reported as no change.",
    )


def _level_rows(
    found: list[Comparison], full: Rated, answers: Answers, policy_quality: Mapping[int, pa.Table]
) -> list[tuple[str, Interval, int]]:
    """Before RL and the full set, both over the cells of the other methods, then each method."""
    cells = {cell for method, tables in answers.items() if method != "full" for cell in tables}
    before = [ratings(policy_quality[rank]) for rank in sorted({pm for pm, _ in cells}) if rank in policy_quality]
    per_question: dict[str, list[float]] = {}
    for (cell, _, identity), rating in sorted(full.items()):
        if cell in cells:
            per_question.setdefault(identity, []).append(rating)
    rows = [
        ("Before RL", mean_interval(list(by_id(before).values())), 5),
        (method_name("full"), mean_interval([float(np.mean(v)) for v in per_question.values()]), style_of("full")),
        *((method_name(one.method), one.quality, style_of(one.method)) for one in found),
    ]
    return [row for row in rows if row[1].value is not None]


def _answer(found: list[Comparison], adjusted: list[float | None]) -> str:
    known = [(one, p) for one, p in zip(found, adjusted, strict=True) if one.relative.value is not None]
    if not known:
        return "No method shares a cell, a seed and a question with the full set: nothing to compare."

    def name(one: Comparison) -> str:
        return f"{method_name(one.method)} ({number(one.relative.value, 1, signed=True, percent=True)})"

    clear = [one for one, p in known if one.clear(p)]
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
    parts.append(seeds_text({method_name(one.method): one for one, _ in known}))
    return "; ".join(parts) + tail + "."
