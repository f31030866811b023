"""Tree attention on any device: a segment's queries against the keys of its whole path, in a few padded blocks.

The cost is that of the pairs that may look at each other, not nodes squared as with a dense mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention

from ..models._tiles import whole, whole_keys
from ._tree import Segment

MAX_KEYS = 1 << 16
"""Keys gathered for one block; bounds its memory."""
ALIKE = 0.8
"""Within a block, the shortest segment has at least this share of the longest one's queries."""


@dataclass(frozen=True)
class Block:
    """R segments: nodes asking [R, Q], nodes asked [R, K], mask [R, 1, Q, K] (True = may look), and where the
    n real queries lie in R * Q (`taken` [n]) and which nodes they are (`nodes` [n])."""

    queries: torch.Tensor
    keys: torch.Tensor
    mask: torch.Tensor
    taken: torch.Tensor
    nodes: torch.Tensor


@dataclass(frozen=True)
class Blocks:
    """A plan: the blocks of all nodes, and those of the nodes whose last state is read."""

    all: Sequence[Block]
    read: Sequence[Block]

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, last: bool
    ) -> torch.Tensor:
        """See `_attention.Plan`; nodes that nobody reads are 0."""
        query, key, value = (states[0].transpose(0, 1) for states in (query, key, value))
        repeats = query.shape[1] // key.shape[1]
        out = query.new_zeros(query.shape[0], query.shape[1], value.shape[2])
        for block in self.read if last else self.all:
            keys, values = (_repeat(states[block.keys], repeats).transpose(1, 2) for states in (key, value))
            mixed = scaled_dot_product_attention(
                query[block.queries].transpose(1, 2), keys, values, attn_mask=block.mask, scale=scaling
            )
            out[block.nodes] = mixed.transpose(1, 2).flatten(0, 1)[block.taken]
        return out[None]


def blocks_of(segments: Sequence[Segment], device: torch.device) -> list[Block]:
    """Group segments of similar length."""
    blocks: list[Block] = []
    group: list[Segment] = []
    longest = 0
    for segment in sorted(segments, key=lambda s: (-s.length, -len(s.path))):
        keys = max(longest, len(segment.path))
        if group and (segment.length < ALIKE * group[0].length or (len(group) + 1) * keys > MAX_KEYS):
            blocks.append(_block(group, device))
            group, keys = [], len(segment.path)
        group.append(segment)
        longest = keys
    return [*blocks, _block(group, device)] if group else blocks


def _block(group: Sequence[Segment], device: torch.device) -> Block:
    rows, q, k = len(group), whole(max(s.length for s in group)), whole_keys(max(len(s.path) for s in group))
    queries, keys = np.zeros((rows, q), np.int64), np.zeros((rows, k), np.int64)
    depths, real = np.zeros((rows, q), np.int64), np.zeros((rows, q), np.bool_)
    for row, segment in enumerate(group):
        n = segment.length
        queries[row, :n] = segment.path[segment.start :]
        keys[row, : len(segment.path)] = segment.path
        depths[row, :n] = np.arange(segment.start, len(segment.path))
        real[row, :n] = True
    mask = (np.arange(k)[None, None, :] <= depths[:, :, None])[:, None]
    taken = np.flatnonzero(real)
    arrays = (queries, keys, mask, taken, queries.ravel()[taken])
    return Block(*(torch.from_numpy(array).to(device) for array in arrays))


def _repeat(states: torch.Tensor, repeats: int) -> torch.Tensor:
    """[R, K, kv heads, d] -> [R, K, heads, d] (grouped-query attention)."""
    return states if repeats == 1 else states.repeat_interleave(repeats, dim=2)
