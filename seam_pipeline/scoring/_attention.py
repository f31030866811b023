"""Attention over a prefix tree: every token sees its ancestors and itself, nothing else.

The linear layers run over the tree's nodes, each token once and without padding. Only inside the attention
function are a segment's queries set against the keys of its whole path, in a few padded blocks of similar
shape: the cost is that of the pairs that may look at each other, not nodes squared as with a dense mask.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from ._tree import Segment

NAME = "seam_tree"
MAX_KEYS = 1 << 16
"""Keys gathered for one block; bounds its memory."""


@dataclass(frozen=True)
class Block:
    """R segments: nodes asking [R, Q], nodes asked [R, K], mask [R, 1, Q, K] (True = may look), and where the
    n real queries lie in R * Q (`taken` [n]) and which nodes they are (`nodes` [n])."""

    queries: torch.Tensor
    keys: torch.Tensor
    mask: torch.Tensor
    taken: torch.Tensor
    nodes: torch.Tensor


_ACTIVE: ContextVar[Sequence[Block] | None] = ContextVar("seam_tree_blocks", default=None)


def blocks_of(segments: Sequence[Segment], device: torch.device) -> list[Block]:
    """Group segments of similar length: within a block, the shortest has at least half the longest's queries."""
    blocks: list[Block] = []
    group: list[Segment] = []
    longest = 0
    for segment in sorted(segments, key=lambda s: (-s.length, -len(s.path))):
        keys = max(longest, len(segment.path))
        if group and (2 * segment.length < group[0].length or (len(group) + 1) * keys > MAX_KEYS):
            blocks.append(_block(group, device))
            group, keys = [], len(segment.path)
        group.append(segment)
        longest = keys
    return [*blocks, _block(group, device)] if group else blocks


def _block(group: Sequence[Segment], device: torch.device) -> Block:
    rows, q, k = len(group), max(s.length for s in group), max(len(s.path) for s in group)
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


@contextmanager
def tree_attention(trunk: Any, blocks: Sequence[Block]) -> Iterator[None]:
    """The trunk's layers attend along these blocks inside; its own attention comes back afterwards.

    Raises ValueError when the model doesn't let its attention be chosen.
    """
    before = trunk.config._attn_implementation
    trunk.set_attn_implementation(NAME)
    if trunk.config._attn_implementation != NAME:
        raise ValueError("its attention cannot be exchanged")
    token = _ACTIVE.set(blocks)
    try:
        yield
    finally:
        _ACTIVE.reset(token)
        trunk.set_attn_implementation(before)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_other: Any,
) -> tuple[torch.Tensor, None]:
    """query [1, heads, N, d], key and value [1, kv heads, N, d] -> [1, N, heads, d]."""
    blocks = _ACTIVE.get()
    if blocks is None:
        raise ValueError(f"attention {NAME} is used outside of tree_attention")
    if softcap is not None or s_aux is not None:
        raise ValueError("soft-capped attention and attention sinks are not supported")
    query, key, value = (states[0].transpose(0, 1) for states in (query, key, value))
    repeats = query.shape[1] // key.shape[1]
    out = query.new_empty(query.shape[0], query.shape[1], value.shape[2])
    for block in blocks:
        keys, values = (_repeat(states[block.keys], repeats).transpose(1, 2) for states in (key, value))
        mixed = scaled_dot_product_attention(
            query[block.queries].transpose(1, 2), keys, values, attn_mask=block.mask, scale=scaling
        )
        out[block.nodes] = mixed.transpose(1, 2).flatten(0, 1)[block.taken]
    return out[None], None


def _repeat(states: torch.Tensor, repeats: int) -> torch.Tensor:
    """[R, K, kv heads, d] -> [R, K, heads, d] (grouped-query attention)."""
    return states if repeats == 1 else states.repeat_interleave(repeats, dim=2)


AttentionInterface.register(NAME, _attend)
