"""How far people agree: Krippendorff's alpha, and each two of them side by side."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._judgement import Judgement

Array = NDArray[np.float64]


class Pairwise(NamedTuple):
    """Two people on the pairs that both judged."""

    a: str
    b: str
    n: int
    same: int
    opposite: int
    """One chose 1, the other 2; the rest: only one of them could tell."""


def choices_by_pair(judgements: Iterable[Judgement]) -> dict[str, dict[str, str]]:
    """Choice by annotator by id, ids sorted."""
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for judgement in judgements:
        found[judgement.id][judgement.annotator] = judgement.choice
    return dict(sorted(found.items()))


def alpha_terms(units: Iterable[Iterable[str]], values: Sequence[str]) -> list[Array]:
    """Per value how often each unit has it, then per value its coincidences o_cc in each unit; [units] each.

    Units with fewer than two values are left out.
    """
    rows = []
    for unit in units:
        seen = Counter(unit)
        m = seen.total()
        if m > 1:
            rows.append([*(seen[v] for v in values), *(seen[v] * (seen[v] - 1) / (m - 1) for v in values)])
    return list(np.array(rows, dtype=np.float64).reshape(len(rows), 2 * len(values)).T)


def alpha_rows(*terms: Array) -> Array:
    """Krippendorff's alpha of nominal values from `alpha_terms`, over the last axis: [..., units] to [...].

    ((n - 1) sum o_cc - sum n_c (n_c - 1)) / (n (n - 1) - sum n_c (n_c - 1)): 1 is full agreement, 0 what chance gives,
    NaN where nothing could disagree (fewer than two values in use). Krippendorff 2011, Computing Krippendorff's
    Alpha-Reliability, section C and its simplification for nominal data.
    """
    counts, same = np.split(np.stack([term.sum(axis=-1) for term in terms]), 2)
    n, by_chance = counts.sum(axis=0), (counts * (counts - 1)).sum(axis=0)
    most = n * (n - 1) - by_chance
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(most > 0, ((n - 1) * same.sum(axis=0) - by_chance) / most, np.nan)


def krippendorff_alpha(units: Iterable[Iterable[str]]) -> float | None:
    """Alpha of nominal values; a unit is what the annotators said of one item, who is silent is left out."""
    all_units = [list(unit) for unit in units]
    values = sorted({value for unit in all_units for value in unit})
    alpha = float(alpha_rows(*alpha_terms(all_units, values))) if values else math.nan
    return None if math.isnan(alpha) else alpha


def pairwise(by_pair: Mapping[str, Mapping[str, str]]) -> list[Pairwise]:
    """Every two people who judged a pair in common, by name."""
    people = sorted({name for choices in by_pair.values() for name in choices})
    found = []
    for a, b in combinations(people, 2):
        both = [(choices[a], choices[b]) for choices in by_pair.values() if a in choices and b in choices]
        same = sum(x == y for x, y in both)
        opposite = sum({x, y} == {"1", "2"} for x, y in both)
        if both:
            found.append(Pairwise(a, b, len(both), same, opposite))
    return found
