"""Rows filled up to whole tiles: on CPUs, a row's numbers do not depend on what shares its batch.

Matrix libraries multiply tiles of a fixed size; what is left over at the edge goes through other code, which adds in
another order. Where nothing is left over, a row gives the same bits wherever it stands and whatever stands beside it.
"""

import torch
from torch.nn.functional import pad

TILE = 16
ATTENDED, SUMMED = 512, 192
"""Keys that torch's attention takes at a time on CPUs, and how many products MKL adds before it starts a new sum
(more than one and fewer than two such sums are halved). Measured; where other numbers hold, long rows may differ in
the last digit."""


def whole(n: int) -> int:
    """The next multiple of a tile's side."""
    return -(-n // TILE) * TILE


def whole_keys(n: int) -> int:
    """How many keys to attend to, so that adding masked ones to n changes no sum."""
    blocks, rest = divmod(n, ATTENDED)
    rest = whole(rest)
    return blocks * ATTENDED + (2 * SUMMED if SUMMED < rest < 2 * SUMMED else rest)


def fill(rows: torch.Tensor) -> torch.Tensor:
    """rows [n, ...] with rows of zeros after them, to a whole number of tiles."""
    return pad(rows, (0, 0) * (rows.ndim - 1) + (0, whole(len(rows)) - len(rows)))
