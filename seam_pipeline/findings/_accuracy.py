"""A reward model's accuracy on preference pairs; pairs of one question are not independent, so questions are units."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from ._statistics import Array, Interval, bootstrap, cohen_dz, ratio_rows
from ._tables import columns

Sums = dict[str, tuple[float, int]]


def by_question(*quality: pa.Table) -> Sums:
    """Right verdicts and verdicts per question of REWARD_QUALITY tables; null verdicts are left out."""
    sums: Sums = {}
    for table in quality:
        for identity, correct in columns(table, "id", "correct"):
            if correct is not None:
                question = identity.rsplit(":", 1)[0]
                right, n = sums.get(question, (0.0, 0))
                sums[question] = (right + correct, n + 1)
    return dict(sorted(sums.items()))


def accuracy_of(*quality: pa.Table) -> Interval:
    """Share of right verdicts over all pairs, with a bootstrap interval over questions; n counts questions."""
    return bootstrap(ratio_rows, *_columns(list(by_question(*quality).values())))


def accuracy_change(ours: Sequence[pa.Table], theirs: Sequence[pa.Table]) -> Interval:
    """Accuracy of ours less that of theirs over the questions of both; d_z is of the questions' shares."""
    a, b = by_question(*ours), by_question(*theirs)
    shared = sorted(a.keys() & b.keys())
    right, n = _columns([a[q] for q in shared])
    was, n_was = _columns([b[q] for q in shared])
    return bootstrap(_change_rows, right, n, was, n_was)._replace(dz=cohen_dz(right / n - was / n_was))


def _change_rows(right: Array, n: Array, was: Array, n_was: Array) -> Array:
    return ratio_rows(right, n) - ratio_rows(was, n_was)


def _columns(sums: Sequence[tuple[float, int]]) -> Array:
    """[2, questions]"""
    return np.array(sums, dtype=np.float64).reshape(-1, 2).T
