"""Does filtering by SEAM help RL? The paper's Fig. 6, tested over questions and over seeds."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from seam_pipeline.report.charts import forest
from seam_pipeline.report.figures import Figure

from ._agreement import agreement
from ._finding import Finding, Row, Table
from ._format import count, listing, number
from ._length_control import equal_length_table
from ._names import drawn_once, in_order, method_name, notes_on, style_of
from ._statistics import (
    Interval,
    Significance,
    bootstrap,
    cohen_dz,
    holm,
    mean_interval,
    p_text,
    ratio_rows,
    sign_flip,
    wilcoxon,
)
from ._tables import Cell, by_id, count_nulls, judge_caveats, rating_label, ratings, small_sample

MIN_SEEDS = 6
"""Fewer cannot reach p < 0.05 in an exact two-sided sign-flip test (2 / 2^6 = 0.031)."""
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
    dz: float | None
    """Cohen's d_z over seeds."""
    cells: int
    runs: int

    def tested(self, p: float | None) -> Row:
        """Cells of a table: rating, difference with its interval, relative difference, corrected p, test over seeds."""
        return (
            self.quality.value,
            number(self.difference.value, 3, signed=True),
            self.difference.range_text(3, signed=True),
            number(self.relative.value, 1, signed=True, percent=True),
            p_text(p),
            self.seeds.text,
        )

    def numbers(self, name: str, p: float | None) -> dict[str, float | None]:
        """`name`: the relative difference, with `_low`, `_high`, `_n` and `_p`, a corrected p over questions.

        Over seeds `_seed_p`, `_seeds` and `_dz`.
        """
        relative, seeds = self.relative, self.seeds
        return {
            name: relative.value, f"{name}_low": relative.low, f"{name}_high": relative.high, f"{name}_n": relative.n,
            f"{name}_p": p, f"{name}_seed_p": seeds.p, f"{name}_seeds": seeds.n, f"{name}_dz": self.dz,
        }  # fmt: skip


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
    answer = _answer(found, adjusted)
    tables = [table for per_cell in answers.values() for table in per_cell.values()]
    caveats = [*judge_caveats(tables)]
    seeds = max((one.seeds.n for one in found), default=0)
    if seeds < MIN_SEEDS:
        caveats.append(
            f"{count(seeds, 'seed')} per cell: an exact two-sided test over five seeds reaches p = 2/32 at best, "
            "so below six the interval over questions speaks for these training runs, not for others."
        )
    n = min((one.difference.n for one in found), default=0)
    return Finding(
        key="selection_methods",
        title="Figure 6: selection methods",
        question=f"Does leaving out the {rate:.0%} of instructions with the lowest scores give a better model?",
        answer=answer,
        figure=_figure(found, full, policy_quality, answers, answer),
        columns=("method", "cells", "runs", "rating", "difference from full", "95% CI", "relative",
                 "p over questions (Holm)", "test over seeds", "d_z over seeds"),
        rows=tuple(_row(one, p) for one, p in zip(found, adjusted, strict=True)),
        n=n,
        interval="; ".join(_relative(one) for one in found if one.method.startswith("seam_"))
        + "; relative to full, paired bootstrap over questions.",
        paper="SEAM filtering +4.5% (abstract), GPT > Contrast > Adv, random no change (Fig. 6, top-5 pairs).",
        caveats=(
            *caveats,
            *drawn_once(answers),
            *notes_on({*answers, *(selected or {})}),
            *small_sample(n, "question"),
        ),
        nulls=count_nulls(tables, "rating", "answer without a rating"),
        unit="test question",
        more=(Table("Mean rating before and after RL, over each method's own cells",
                    ("what", "cells", "mean rating", "95% CI", "n"), _levels(rated, policy_quality)),
              *equal_length_table(answers), *agreement(selected or {}, pair, rate)),
        headline=_headline(found),
        numbers=numbers_of([(f"{one.method}_relative", one) for one in found], adjusted),
    )  # fmt: skip


def numbers_of(found: Iterable[tuple[str, Comparison]], adjusted: Iterable[float | None]) -> dict[str, float | None]:
    """`Comparison.numbers` of several named comparisons with their corrected p."""
    return {k: v for (name, one), p in zip(found, adjusted, strict=True) for k, v in one.numbers(name, p).items()}


def _relative(one: Comparison) -> str:
    return f"{method_name(one.method)} {one.relative.text(1, signed=True, percent=True)}"


def _headline(found: list[Comparison]) -> tuple[str, str] | None:
    """The first SEAM variant in the study's order, not the best of those seen."""
    for one in found:
        if one.relative.value is not None and one.method.startswith("seam_"):
            return number(one.relative.value, 1, signed=True, percent=True), f"{method_name(one.method)} against full"
    return None


def compare(method: str, rated: _Rated, full: _Rated) -> Comparison:
    """Paired comparison over the (cell, seed, question) triples that both rated."""
    shared = sorted(rated.keys() & full.keys())
    per_question: dict[str, list[tuple[float, float]]] = {}
    per_seed: dict[int, list[float]] = {}
    for key in shared:
        per_question.setdefault(key[2], []).append((rated[key], full[key]))
        per_seed.setdefault(key[1], []).append(rated[key] - full[key])
    over_seeds = [float(np.mean(values)) for _, values in sorted(per_seed.items())]
    pairs = np.array([np.mean(values, axis=0) for _, values in sorted(per_question.items())]).reshape(-1, 2)
    ours, theirs = pairs[:, 0], pairs[:, 1]
    return Comparison(
        method=method,
        quality=mean_interval(ours),
        difference=mean_interval(ours - theirs),
        relative=bootstrap(ratio_rows, ours - theirs, theirs),
        questions=wilcoxon(ours - theirs),
        seeds=sign_flip(over_seeds),
        dz=cohen_dz(over_seeds),
        cells=len({cell for cell, _, _ in shared}),
        runs=len({(cell, seed) for cell, seed, _ in shared}),
    )


def rated_triples(tables: Mapping[Cell, pa.Table]) -> _Rated:
    """Rating by cell, seed and question of ANSWERS by cell; unrated answers are left out."""
    return {(cell, *key): rating for cell, table in tables.items() for key, rating in ratings(table).items()}


def _row(one: Comparison, p: float | None) -> Row:
    return (
        method_name(one.method),
        one.cells,
        one.runs,
        *one.tested(p),
        number(one.dz, signed=True),
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
    found: list[Comparison], full: _Rated, answers: Answers, policy_quality: Mapping[int, pa.Table]
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


def seeds_text(found: Mapping[str, Comparison]) -> str:
    """What the exact test over seeds says of some named differences; each stands for itself, uncorrected."""
    n = max((one.seeds.n for one in found.values()), default=0)
    if n < 2:
        return "over seeds: not testable"
    if n < MIN_SEEDS:
        return f"over {n} seeds no difference can be separated at 95%"
    clear = [name for name, one in found.items() if one.seeds.p is not None and one.seeds.p < 0.05]
    return f"over {n} seeds, uncorrected: {listing(clear) or 'none'} separated at 95%"


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
    parts.append(seeds_text({method_name(one.method): one for one, _ in known}))
    return "; ".join(parts) + tail + "."
