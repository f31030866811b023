"""A difference of ratings at equal length: how much of it is not the answers' length.

AlpacaEval 2's length-controlled win rate (Dubois, Galambosi, Liang and Hashimoto 2024, arXiv 2404.04475, section 3)
regresses a judge's preference on the method, tanh of the standardised difference of lengths and the question's
difficulty, and predicts at equal length. Here ratings are on a scale and each question is answered by both sides, so
that the question's difficulty cancels in the difference: rating difference = at equal length + slope * tanh(z).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from ._finding import Row, Table
from ._format import listing, number
from ._names import in_order, method_name
from ._statistics import Array, Interval, bootstrap, cohen_dz, difference_interval
from ._tables import Cell, columns

By = Mapping[Cell, pa.Table]


class LengthControlled(NamedTuple):
    """Rating difference of two sides over the same answers, plain and at equal length; mean lengths in tokens."""

    plain: Interval
    controlled: Interval
    length: float | None
    other_length: float | None


def at_equal_length(differences: Sequence[float] | Array, lengths: Sequence[float] | Array) -> Interval:
    """The rating difference a - b where both answers are equally long, with a bootstrap interval over questions.

    `lengths` are the differences of lengths a - b of the same questions. Ordinary least squares; z is the length
    difference over its standard deviation (not centred: 0 is equal length). Without any spread of z there is no slope
    to fit: with equal lengths throughout that is the plain mean, else there is no estimate. d_z is of the differences
    less their part that goes with length.
    """
    d, x = np.asarray(differences, dtype=np.float64), np.asarray(lengths, dtype=np.float64)
    spread = float(x.std()) if len(x) else 0.0
    if spread == 0 and x.any():
        return Interval(None, None, None, len(d))
    z = np.tanh(x / spread) if spread else np.zeros_like(x)
    found = bootstrap(intercept_rows, d, z)
    return found._replace(dz=cohen_dz(d - (_slope_rows(d, z) if spread else 0.0) * z))


def intercept_rows(y: Array, x: Array) -> Array:
    """Least-squares intercept of y on x per row; mean of y where x is 0 throughout, NaN where it is constant else."""
    mean_x, mean_y = x.mean(axis=-1), y.mean(axis=-1)
    found = mean_y - _slope_rows(y, x) * mean_x
    return np.asarray(np.where(x.var(axis=-1) > 0, found, np.where(mean_x == 0, mean_y, np.nan)))


def _slope_rows(y: Array, x: Array) -> Array:
    """Least-squares slope of y on x per row; NaN or infinite where x is constant."""
    centred = x - x.mean(axis=-1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((centred * y).mean(axis=-1) / (centred**2).mean(axis=-1))


def compare_at_equal_length(ours: By, theirs: By) -> LengthControlled:
    """ANSWERS by cell of two sides, over the (cell, seed, question) that both rated; questions are the units."""
    a, b = _triples(ours), _triples(theirs)
    per_question: dict[str, list[tuple[float, int, int]]] = {}
    for key in sorted(a.keys() & b.keys()):
        per_question.setdefault(key[2], []).append((a[key][0] - b[key][0], a[key][1], b[key][1]))
    means = np.array([np.mean(values, axis=0) for _, values in sorted(per_question.items())]).reshape(-1, 3)
    differences, long, other = means.T
    controlled = at_equal_length(differences, long - other)
    lengths = (float(long.mean()), float(other.mean())) if len(means) else (None, None)
    return LengthControlled(difference_interval(differences), controlled, *lengths)


def for_seeds_of(other: pa.Table, answers: pa.Table) -> pa.Table:
    """ANSWERS without seeds of their own (one per question), once for each seed of the other's."""
    at = answers.column_names.index("seed")
    field = answers.schema.field(at)
    seeds = sorted(set(other["seed"].to_pylist()))
    parts = [answers.set_column(at, field, pa.array([seed] * len(answers), field.type)) for seed in seeds]
    return pa.concat_tables(parts) if parts else answers.slice(0, 0)


def each_at_equal_length(answers: Mapping[str, By], base: str = "full") -> dict[str, LengthControlled]:
    """Each method, by its shown name, against `base`; empty without both."""
    if base not in answers:
        return {}
    others = [m for m in in_order(answers) if m != base]
    return {method_name(m): compare_at_equal_length(answers[m], answers[base]) for m in others}


def equal_length_table(found: Mapping[str, LengthControlled], base: str = "the full set") -> tuple[Table, ...]:
    """The comparisons with `base`, plain and at equal length; nothing where there are none."""
    return (controlled_table(base, [equal_length_row(name, one) for name, one in found.items()]),) if found else ()


def by_length_alone(found: Mapping[str, LengthControlled]) -> tuple[str, ...]:
    """A caveat that names the comparisons that length decides: separated from zero plainly, not at equal length."""
    names = [name for name, one in found.items() if one.plain.excludes(0) and not one.controlled.excludes(0)]
    if not names:
        return ()
    verb = "is" if len(names) == 1 else "are"
    return (f"At equal length of the answers {listing(names)} {verb} no longer separated.",)


def controlled_table(base: str, rows: Sequence[Row]) -> Table:
    """Rows of `equal_length_row` under their caption; `base` is what they are compared with."""
    what = f"Difference of the mean rating from {base}, plain and at equal length of the answers"
    return Table(f"{what} (after Dubois et al. 2024; extrapolated where they hardly overlap)", _COLUMNS, tuple(rows))


_COLUMNS = ("what", "mean tokens", "the other's", "difference", "95% CI", "d_z", "at equal length", "95% CI of it",
            "its d_z", "n")  # fmt: skip


def equal_length_row(name: str, found: LengthControlled) -> Row:
    """A row of `controlled_table`."""
    plain, controlled = found.plain, found.controlled
    return (
        name,
        number(found.length, 1),
        number(found.other_length, 1),
        *plain.difference_cells(3),
        *controlled.difference_cells(3),
        plain.n,
    )


def _triples(tables: By) -> dict[tuple[Cell, int, str], tuple[float, int]]:
    return {
        (cell, seed, identity): (rating, length)
        for cell, table in tables.items()
        for seed, identity, rating, length in columns(table, "seed", "id", "rating", "n_tokens")
        if rating is not None
    }
