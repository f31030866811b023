"""SEAM over the grid: levels, forms, and which instructions each pair and variant calls bad (Table 3)."""

from collections import Counter
from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pyarrow as pa

from seam_pipeline.report.figures import Figure
from seam_pipeline.report.heat import heat_map

from ._finding import Finding, Row, Table
from ._format import listing, number
from ._names import cell_name, in_order, variant_name
from ._statistics import Interval, bootstrap, mean_interval, ratio_rows, spearman, wilson
from ._tables import Cell, count_nulls, lowest, paired, score_map

Scores = Mapping[str, Mapping[Cell, pa.Table]]
PAPER_OVERLAP = {((1, 1), (3, 3)): "72%", ((1, 1), (5, 5)): "64%", ((3, 3), (5, 5)): "69%"}


def seamlessness(scores: Scores, form: str = "log", rate: float = 0.2) -> Finding:
    """Mean SEAM per pair, agreement of the forms, overlap of the lowest-`rate` sets.

    `scores` are SEAM_SCORES tables by variant and cell.

    An overlap is |A ∩ B| / |A| of two lowest-`rate` sets of equal size over the instructions that both score;
    unrelated sets overlap by `rate`.
    """
    variants = in_order(v for v in scores if scores[v])
    cells = sorted({cell for v in variants for cell in scores[v]})
    rows, columns = sorted({pm for pm, _ in cells}), sorted({rm for _, rm in cells})
    maps = {(v, c): score_map(scores[v][c], f"seam_{form}") for v in variants for c in sorted(scores[v])}
    means = {key: mean_interval(list(values.values())) for key, values in maps.items()}
    panels = tuple(
        heat_map(f"seam-{v}", {c: means[v, c].value for c in scores[v]}, rows=rows, columns=columns,
                 title=variant_name(v), deep_is_low=True, small={c: f"n = {means[v, c].n}" for c in scores[v]})
        for v in variants
    )  # fmt: skip
    agreement = tuple((variant_name(v), *_forms_agree(scores[v])) for v in variants)
    pairs, across = _pair_overlaps(maps, variants, rate), _variant_overlaps(maps, variants, cells, rate)
    shared = {v: i for v in variants if (i := _shared(maps, v, rate)).n}
    answer = _answer(pairs, across, rate)
    return Finding(
        key="seamlessness",
        title="SEAM over the grid",
        question="Which pairs are seamless, and do variants and pairs agree on the bad instructions?",
        answer=answer,
        figure=Figure(
            panels,
            f"Heat maps of the mean SEAM score over policy and reward-model ranks. {answer}",
            f"Mean seam_{form} per instruction; the more a cell stands out from the page, the less seamless it is.",
        ),
        columns=("variant", "pair", "mean", "95% CI", "scored", "of", "no misjudgement", "mean set size"),
        rows=tuple(_row(v, c, scores[v][c], maps[v, c], means[v, c]) for v, c in maps),
        n=max((m.n for m in means.values()), default=0),
        interval="".join(f"Overlap between pairs of models, {variant_name(v)}: {i.text(0, percent=True)}; "
                         for v, i in shared.items())
        + "bootstrap over instructions, as the means per pair in the table. Single overlaps below: Wilson.",
        paper="Lowest-20% sets overlap by 72% (ranks 1 and 3), 64% (1 and 5), 69% (3 and 5) (Table 3).",
        caveats=(
            "Scores scale with the reward model's rewards: compare within a column, not across columns.",
            "Summed forms grow with the set; pairs are compared over the instructions that both score.",
            *_tie_caveat(maps, rate),
        ),
        nulls=_nulls(scores, form),
        more=(
            Table("Do the forms rank instructions alike? Spearman's correlation of log and prob, mean over pairs",
                  ("variant", "correlation", "lowest pair", "pairs"), agreement),
            Table(f"Overlap of the lowest {rate:.0%} between pairs (unrelated sets: {rate:.0%})",
                  ("variant", "pair A", "pair B", "overlap", "95% CI", "set size", "paper"),
                  tuple(row for row, _ in pairs)),
            Table(f"Overlap of the lowest {rate:.0%} between variants (unrelated sets: {rate:.0%})",
                  ("pair", "variant A", "variant B", "overlap", "95% CI", "set size"), tuple(row for row, _ in across)),
        ),
        numbers={
            "overlap_pairs": _mean_value([i for _, i in pairs]),
            "overlap_variants": _mean_value([i for _, i in across]),
        }
        | {f"overlap_{v}{end}": value for v, i in shared.items() for end, value in (
            ("", i.value), ("_low", i.low), ("_high", i.high), ("_n", i.n))},
    )  # fmt: skip


def overlap(a: Mapping[str, float], b: Mapping[str, float], rate: float) -> Interval:
    """Share of the lowest-`rate` set that two scores share, over the ids that both score; n is the set size."""
    shared = a.keys() & b.keys()
    low_a, low_b = (lowest({i: side[i] for i in shared}, rate) for side in (a, b))
    return wilson(len(low_a & low_b), len(low_a))


def _row(variant: str, cell: Cell, table: pa.Table, scored: Mapping[str, float], mean: Interval) -> Row:
    clean = sum(value == 0 for value in scored.values())
    sizes = table.column("n_candidates").to_pylist()
    share = number(clean / len(scored), 0, percent=True) if scored else None
    size = float(np.mean(sizes)) if sizes else None
    return (
        variant_name(variant),
        cell_name(cell),
        mean.value,
        mean.range_text(),
        len(scored),
        table.num_rows,
        share,
        size,
    )


def _forms_agree(tables: Mapping[Cell, pa.Table]) -> tuple[float | None, float | None, int]:
    """Mean and lowest Spearman correlation between log and prob over the pairs."""
    found = []
    for table in tables.values():
        x, y = paired(score_map(table, "seam_log"), score_map(table, "seam_prob"))
        value = spearman(x, y, resamples=0 if len(x) < 2 else 1).value
        if value is not None:
            found.append(value)
    return (float(np.mean(found)), min(found), len(found)) if found else (None, None, 0)


def _pair_overlaps(
    maps: Mapping[tuple[str, Cell], Mapping[str, float]], variants: list[str], rate: float
) -> list[tuple[Row, Interval]]:
    """Overlaps between the diagonal pairs of each variant."""
    found: list[tuple[Row, Interval]] = []
    for v in variants:
        diagonal = [c for w, c in maps if w == v and c[0] == c[1]]
        for a, b in combinations(diagonal, 2):
            share = overlap(maps[v, a], maps[v, b], rate)
            ends = (number(share.value, 0, percent=True), share.range_text(0, percent=True), share.n)
            row = (variant_name(v), cell_name(a), cell_name(b), *ends, PAPER_OVERLAP.get((a, b), "–"))
            found.append((row, share))
    return found


def _shared(maps: Mapping[tuple[str, Cell], Mapping[str, float]], variant: str, rate: float) -> Interval:
    """A variant's overlap over all pairs of diagonal cells; instructions are the units, the sets are taken as given."""
    diagonal = [c for v, c in maps if v == variant and c[0] == c[1]]
    both: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for a, b in combinations(diagonal, 2):
        ids = maps[variant, a].keys() & maps[variant, b].keys()
        low, other = (lowest({i: maps[variant, c][i] for i in ids}, rate) for c in (a, b))
        size.update(low)
        both.update(low & other)
    every = sorted({i for v, c in maps if v == variant and c in diagonal for i in maps[v, c]}) if size else []
    return bootstrap(ratio_rows, [float(both[i]) for i in every], [float(size[i]) for i in every])


def _variant_overlaps(
    maps: Mapping[tuple[str, Cell], Mapping[str, float]], variants: list[str], cells: list[Cell], rate: float
) -> list[tuple[Row, Interval]]:
    """Overlaps between the variants on each diagonal pair (or on every pair when there is no diagonal)."""
    diagonal = [c for c in cells if c[0] == c[1]] or cells
    found: list[tuple[Row, Interval]] = []
    for cell in diagonal:
        for a, b in combinations([v for v in variants if (v, cell) in maps], 2):
            share = overlap(maps[a, cell], maps[b, cell], rate)
            ends = (number(share.value, 0, percent=True), share.range_text(0, percent=True), share.n)
            found.append(((cell_name(cell), variant_name(a), variant_name(b), *ends), share))
    return found


def _tie_caveat(maps: Mapping[tuple[str, Cell], Mapping[str, float]], rate: float) -> tuple[str, ...]:
    short = sum(sum(v < 0 for v in scores.values()) < round(rate * len(scores)) for scores in maps.values())
    if not short:
        return ()
    return (
        f"In {short} of {len(maps)} variant-pair combinations fewer than {rate:.0%} of the instructions have a score "
        "below zero; the rest of the lowest set is chosen among ties by a hash of the id.",
    )


def _nulls(scores: Scores, form: str) -> dict[str, int]:
    counted: dict[str, int] = {}
    for variant in in_order(scores):
        counted |= count_nulls(scores[variant].values(), f"seam_{form}", f"{variant_name(variant)} score missing")
    return counted


def _mean_value(intervals: list[Interval]) -> float | None:
    values = [i.value for i in intervals if i.value is not None]
    return float(np.mean(values)) if values else None


def _answer(pairs: list[tuple[Row, Interval]], across: list[tuple[Row, Interval]], rate: float) -> str:
    parts = []
    for what, found in (("pairs of models", pairs), ("variants", across)):
        values = [i.value for _, i in found if i.value is not None]
        if values:
            spread = (
                f" ({number(min(values), 0, percent=True)} to {number(max(values), 0, percent=True)})"
                if len(values) > 1
                else ""
            )
            parts.append(f"{number(float(np.mean(values)), 0, percent=True)} between {what}{spread}")
    if not parts:
        return "There is one pair and one variant only: nothing to compare."
    return (
        f"The {rate:.0%} of instructions with the lowest scores overlap by {listing(parts)} on average; "
        f"unrelated sets would overlap by {rate:.0%}."
    )
