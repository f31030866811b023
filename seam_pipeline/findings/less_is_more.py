"""Fig. 5: RL without the instructions on which the reward model contradicts the preference."""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa

from seam_pipeline.judging.match import OUTCOMES
from seam_pipeline.report.charts import forest
from seam_pipeline.report.figures import Figure

from ._comparison import EFFECT, TESTS, Comparison, compare, interval_text, numbers_of, rated_triples, seeds_caveat
from ._finding import Finding, Row, Table
from ._format import count, listing, number
from ._length_control import by_length_alone, each_at_equal_length, equal_length_table
from ._names import drawn_once, in_order, method_name
from ._statistics import effect_text, holm, p_text
from ._tables import Cell, count_nulls, judge_caveats, small_sample

Answers = Mapping[str, Mapping[Cell, pa.Table]]
Outcomes = Mapping[int, Mapping[str, str]]


def less_is_more(answers: Answers, outcomes: Outcomes, instructions: int) -> Finding:
    """Rating after RL on the matched instructions less that on the full set, over the cells that all methods have.

    `answers` are ANSWERS by method (`full`, `matched` and, if run, `matched_random`) and cell; `outcomes` are those of
    judging.match by reward rank, `instructions` the number of RL train instructions. Questions are the units of the
    intervals and of Wilcoxon's test, seeds those of the exact sign-flip test.
    """
    cells = sorted(set.intersection(*(set(per_cell) for per_cell in answers.values())))
    shared = {method: {cell: per_cell[cell] for cell in cells} for method, per_cell in answers.items()}
    rated = {method: rated_triples(per_cell) for method, per_cell in shared.items()}
    pairs = [(method, "full") for method in in_order(shared) if method != "full"]
    if "matched_random" in shared:
        pairs.append(("matched", "matched_random"))
    found = {pair: compare(pair[0], rated[pair[0]], rated[pair[1]]) for pair in pairs}
    adjusted = dict(zip(found, holm([one.questions.p for one in found.values()]), strict=True))
    dropped = {cell: sum(o == "mismatch" for o in outcomes.get(cell[1], {}).values()) for cell in cells}
    n = min((one.difference.n for one in found.values()), default=0)
    length = each_at_equal_length(shared)
    answer = _answer(found, adjusted, dropped, instructions)
    tables = [table for per_cell in shared.values() for table in per_cell.values()]
    return Finding(
        key="less_is_more",
        title="Figure 5: less is more",
        question="Is RL better without the instructions on which the reward model contradicts the preference?",
        answer=answer,
        figure=_figure(found, answer),
        columns=("comparison", "cells", "runs", "rating", "difference", *EFFECT, *TESTS),
        rows=tuple(_row(pair, one, adjusted[pair]) for pair, one in found.items()),
        n=n,
        interval=interval_text([(_name(pair), one) for pair, one in found.items()], "the latter"),
        paper="Better, p < 0.05, ranks 1 and 1, 3 seeds (Fig. 5); no number is given, nor a control of equal size.",
        caveats=(
            "The preference is between two policies' answers to the instruction, from whom `preference_match` says; an "
            "instruction that was not compared, or whose verdict is a tie or missing, stays.",
            *judge_caveats(tables),
            *by_length_alone(length),
            *seeds_caveat(found.values()),
            *drawn_once(shared),
            *small_sample(n, "question"),
        ),
        nulls=count_nulls(tables, "rating", "answer without a rating"),
        unit="test question",
        more=(_sizes(cells, outcomes, instructions), *equal_length_table(length)),
        headline=_headline(found),
        numbers={f"{a}_less_{b}": one.difference.value for (a, b), one in found.items()}
        | numbers_of([(f"{a}_over_{b}", one) for (a, b), one in found.items()], adjusted.values())
        | {"dropped": float(max(dropped.values())) if dropped else None},
    )  # fmt: skip


def _name(pair: tuple[str, str]) -> str:
    return f"{method_name(pair[0])} less {method_name(pair[1]).lower()}"


def _row(pair: tuple[str, str], one: Comparison, p: float | None) -> Row:
    return (
        _name(pair),
        one.cells,
        one.runs,
        *one.tested(p),
    )


def _sizes(cells: list[Cell], outcomes: Outcomes, instructions: int) -> Table:
    rows: list[Row] = []
    for rm in sorted({rm for _, rm in cells}):
        found = Counter(outcomes.get(rm, {}).values())
        known = [found[outcome] for outcome in OUTCOMES]
        rows.append((rm, instructions, found["mismatch"], instructions - found["mismatch"], *known,
                     instructions - sum(known)))  # fmt: skip
    columns = ("reward model", "instructions", "dropped", "kept", *OUTCOMES, "not compared")
    return Table("What the matched set keeps; only mismatches are dropped", columns, tuple(rows))


def _figure(found: Mapping[tuple[str, str], Comparison], answer: str) -> Figure | None:
    bars = [(_name(pair), one.difference, i) for i, (pair, one) in enumerate(found.items()) if one.difference.n]
    if not bars:
        return None
    panel = forest("less-is-more", bars, x_label="difference of the mean rating", title="Less is more",
                   reference=(0.0, "no difference"))  # fmt: skip
    return Figure((panel,), f"Forest plot of the differences with 95% intervals. {answer}")


def _headline(found: Mapping[tuple[str, str], Comparison]) -> tuple[str, str] | None:
    one = found.get(("matched", "full"))
    if one is None or one.difference.value is None:
        return None
    return number(one.difference.value, signed=True), "rating: matched instructions against all"


def _answer(
    found: Mapping[tuple[str, str], Comparison],
    adjusted: Mapping[tuple[str, str], float | None],
    dropped: Mapping[Cell, int],
    instructions: int,
) -> str:
    known = {pair: one for pair, one in found.items() if one.difference.value is not None}
    if ("matched", "full") not in known:
        return "The matched set shares no cell, seed and question with the full set: nothing to compare."
    sizes = [number(n, 0) for n in sorted(set(dropped.values()))]
    parts = []
    for pair, one in known.items():
        p = adjusted[pair]
        verdict = f"{'' if one.clear(p) else 'not '}separated over questions, {p_text(p)}"
        change, effect = number(one.difference.value, 3, signed=True), effect_text(one.difference.dz)
        parts.append(f"{_name(pair)} {change} ({verdict}{effect})")
    seeds = known["matched", "full"].seeds
    return (
        f"Without the {listing(sizes)} of {count(instructions, 'instruction')} that mismatch: {'; '.join(parts)}; "
        f"matched against the full set {seeds.text}."
    )
