"""How large the candidate sets are."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa


class SetSizes(NamedTuple):
    """Sizes of the candidate sets of some instructions."""

    instructions: int
    wanted: int
    """n of a full set"""
    short: int
    """Sets smaller than wanted, empty ones among them"""
    empty: int
    quantiles: tuple[int, int, int, int, int]
    """Smallest, lower quartile, median, upper quartile, largest (an actual size each)"""

    def sentence(self) -> str:
        """`12 of 300 instructions have fewer than 30 candidates, 4 of them none (quartiles 28, 30, 30)`."""
        low, middle, high = self.quantiles[1:4]
        return (
            f"{self.short:,} of {self.instructions:,} instructions have fewer than {self.wanted} candidates, "
            f"{self.empty:,} of them none (quartiles {low}, {middle}, {high})"
        )


def set_sizes(candidates: pa.Table, wanted: int) -> SetSizes:
    """Counts over the instructions of a CANDIDATES table; a set without candidates has its reason row there."""
    counted = candidates.group_by("id").aggregate([("candidate", "count")])
    sizes = np.sort(counted["candidate_count"].to_numpy())
    if not len(sizes):
        return SetSizes(0, wanted, 0, 0, (0, 0, 0, 0, 0))
    places = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    low, q1, q2, q3, high = (int(q) for q in np.quantile(sizes, places, method="lower"))
    return SetSizes(len(sizes), wanted, int((sizes < wanted).sum()), int((sizes == 0).sum()), (low, q1, q2, q3, high))
