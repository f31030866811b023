"""Does this machine's matrix library add as `models/_tiles.py` expects? Where not, the last digit may differ."""

import pytest
import torch
from torch.nn.functional import linear, pad, scaled_dot_product_attention

from seam_pipeline.models._tiles import whole_keys


def _rows_stand_alone() -> bool:
    states, weight = torch.randn(400, 96), torch.randn(64, 96)
    return all(torch.equal(linear(states[:n], weight), linear(states, weight)[:n]) for n in (16, 48, 208))


def _masked_keys_change_nothing() -> bool:
    query, key, value = torch.randn(3, 1, 2, 190, 16)
    found = []
    for n in (190, 250, 512, 1000):
        more = whole_keys(n) - 190
        mask = torch.arange(190 + more)[None, None, None] < 190
        found.append(scaled_dot_product_attention(query, *(pad(s, (0, 0, 0, more)) for s in (key, value)), mask))
    return all(torch.equal(found[0], other) for other in found[1:])


with torch.random.fork_rng([]):
    torch.manual_seed(0)
    SAME_BITS = _rows_stand_alone() and _masked_keys_change_nothing()

needs_same_bits = pytest.mark.skipif(not SAME_BITS, reason="this matrix library adds in another order")
