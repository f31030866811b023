"""One way of RL against another, paired over cells, seeds and questions: effect, tests, and how both are shown."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ._finding import Row
from ._format import count, listing, number
from ._statistics import (
    Interval,
    Significance,
    bootstrap,
    cohen_dz,
    difference_interval,
    mean_interval,
    p_text,
    ratio_rows,
    sign_flip,
    t_interval,
    wilcoxon,
)
from ._tables import Cell, ratings

MIN_SEEDS = 6
"""Fewer cannot reach p < 0.05 in an exact two-sided sign-flip test (2 / 2^6 = 0.031)."""
ALPHA = 0.05
TESTS = ("p over questions (Holm)", "test over seeds")
EFFECT = ("95% CI", "d_z", "relative")
"""Columns after the difference in `Comparison.effect`."""
NOTHING = Interval(None, None, None, 0)
Rated = dict[tuple[Cell, int, str], float]


@dataclass(frozen=True)
class Comparison:
    """A method against another over the same cells, seeds and questions; d_z is over questions, in `seeds` over seeds.

    `relative` is the mean difference over the other's mean.
    """

    method: str
    quality: Interval
    difference: Interval
    relative: Interval
    questions: Significance
    seeds: Significance
    over_seeds: Interval
    """`relative` with Student's interval over seeds."""
    cells: int
    runs: int

    def effect(self, p: float | None, digits: int = 3) -> Row:
        """Cells of a table: difference, its interval and d_z, relative difference, corrected p, test over seeds."""
        relative = number(self.relative.value, 1, signed=True, percent=True)
        return (*self.difference.difference_cells(digits), relative, p_text(p), self.seeds.text)

    def tested(self, p: float | None) -> Row:
        """`effect` after the method's rating."""
        return (self.quality.value, *self.effect(p))

    def clear(self, p: float | None) -> bool:
        """Whether the interval and the corrected p both separate the difference from zero."""
        return self.difference.excludes(0) and p is not None and p < ALPHA

    def numbers(self, name: str, p: float | None) -> dict[str, float | None]:
        """`name`: the relative difference, with `_low`, `_high`, `_n`, `_dz` and `_p`, a corrected p over questions.

        Over seeds `_seed_p`, `_seeds`, `_seed_dz`, `_seed_low` and `_seed_high`.
        """
        relative, seeds = self.relative, self.seeds
        return {
            name: relative.value, f"{name}_low": relative.low, f"{name}_high": relative.high, f"{name}_n": relative.n,
            f"{name}_dz": relative.dz, f"{name}_p": p, f"{name}_seed_p": seeds.p, f"{name}_seeds": seeds.n,
            f"{name}_seed_dz": seeds.dz, f"{name}_seed_low": self.over_seeds.low,
            f"{name}_seed_high": self.over_seeds.high,
        }  # fmt: skip


def compare(method: str, rated: Rated, other: Rated) -> Comparison:
    """Paired comparison over the (cell, seed, question) triples that both rated."""
    shared = sorted(rated.keys() & other.keys())
    per_question: dict[str, list[tuple[float, float]]] = {}
    per_seed: dict[int, list[float]] = {}
    for key in shared:
        per_question.setdefault(key[2], []).append((rated[key], other[key]))
        per_seed.setdefault(key[1], []).append(rated[key] - other[key])
    pairs = np.array([np.mean(values, axis=0) for _, values in sorted(per_question.items())]).reshape(-1, 2)
    ours, theirs = pairs[:, 0], pairs[:, 1]
    seeds = [float(np.mean(values)) for _, values in sorted(per_seed.items())]
    return Comparison(
        method=method,
        quality=mean_interval(ours),
        difference=difference_interval(ours - theirs),
        relative=bootstrap(ratio_rows, ours - theirs, theirs)._replace(dz=cohen_dz(ours - theirs)),
        questions=wilcoxon(ours - theirs),
        seeds=sign_flip(seeds),
        over_seeds=t_interval(seeds).scaled(1 / float(theirs.mean())) if len(theirs) and theirs.mean() > 0 else NOTHING,
        cells=len({cell for cell, _, _ in shared}),
        runs=len({(cell, seed) for cell, seed, _ in shared}),
    )


def rated_triples(tables: Mapping[Cell, pa.Table]) -> Rated:
    """Rating by cell, seed and question of ANSWERS by cell; unrated answers are left out."""
    return {(cell, *key): rating for cell, table in tables.items() for key, rating in ratings(table).items()}


def numbers_of(found: Iterable[tuple[str, Comparison]], adjusted: Iterable[float | None]) -> dict[str, float | None]:
    """`Comparison.numbers` of several named comparisons with their corrected p."""
    return {k: v for (name, one), p in zip(found, adjusted, strict=True) for k, v in one.numbers(name, p).items()}


def interval_text(found: Iterable[tuple[str, Comparison]], against: str) -> str:
    """The relative differences of named comparisons with intervals and d_z, as a section's evidence."""
    parts = [f"{name} {one.relative.text(1, signed=True, percent=True)}" for name, one in found]
    return f"{'; '.join(parts)}; relative to {against}, paired bootstrap over questions." if parts else "–"


def seeds_text(found: Mapping[str, Comparison]) -> str:
    """What the exact test over seeds says of some named differences; each stands for itself, uncorrected."""
    n = max((one.seeds.n for one in found.values()), default=0)
    if n < 2:
        return "over seeds: not testable"
    if n < MIN_SEEDS:
        return f"over {n} seeds no difference can be separated at 95%"
    clear = [name for name, one in found.items() if one.seeds.p is not None and one.seeds.p < ALPHA]
    return f"over {n} seeds, uncorrected: {listing(clear) or 'none'} separated at 95%"


def seeds_caveat(found: Iterable[Comparison]) -> tuple[str, ...]:
    """A caveat where the seeds are too few for the exact test."""
    seeds = max((one.seeds.n for one in found), default=0)
    if seeds >= MIN_SEEDS:
        return ()
    return (
        f"{count(seeds, 'seed')} per cell: an exact two-sided test over fewer than {MIN_SEEDS} cannot reach p < 0.05, "
        "so the intervals over questions speak for these training runs, not for others.",
    )
