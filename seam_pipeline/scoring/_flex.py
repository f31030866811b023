"""Tree attention by FlexAttention: in depth-first order, node j is an ancestor of i when j <= i < ends[j].

One integer per node is the whole mask, and which tiles of 128 x 128 hold anything follows from its extremes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.nn.attention.flex_attention import BlockMask, flex_attention
from torch.nn.functional import pad

from ._tree import Ids

TILE = 128
"""A tile's width; its area is computed whole or left out."""

COMPILED_ON = frozenset({"cuda"})
"""Types of device; on others the kernel is eager: slow, N x N scores, for checks."""


@dataclass(frozen=True)
class Flex:
    """A plan for trees of at most `size` nodes."""

    mask: BlockMask
    size: int

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, last: bool
    ) -> torch.Tensor:
        """See `_attention.Plan`; the last layer is like the others."""
        n, grouped = query.shape[2], query.shape[1] != key.shape[1]
        kernel: Any = compiled if query.device.type in COMPILED_ON else flex_attention
        states = [pad(states, (0, 0, 0, self.size - n)) for states in (query, key, value)]
        mixed: torch.Tensor = kernel(*states, block_mask=self.mask, scale=scaling, enable_gqa=grouped)
        return mixed[:, :, :n].transpose(1, 2)


def flex_of(ends: Ids, device: torch.device) -> Flex:
    """The plan of a tree's `ends` [N]; its size is the next power of two, so that few sizes have to be compiled."""
    size = max(TILE, 1 << (len(ends) - 1).bit_length())
    ends = np.concatenate([ends, np.arange(len(ends), size) + 1])  # what is added sees itself alone
    within, starts = ends.reshape(-1, TILE), np.arange(0, size, TILE)
    earlier = starts[:, None] > starts[None, :]
    whole = earlier & (within.min(1)[None, :] >= starts[:, None] + TILE)
    partly = (earlier & (within.max(1)[None, :] > starts[:, None]) & ~whole) | np.eye(len(starts), dtype=np.bool_)
    mask = BlockMask.from_kv_blocks(
        *_listed(partly, device),
        *_listed(whole, device),
        BLOCK_SIZE=TILE,
        mask_mod=_below(torch.from_numpy(ends).to(device, torch.int32)),
        seq_lengths=(size, size),
    )
    return Flex(mask, size)


def _listed(tiles: np.ndarray, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Which key tiles each query tile asks: how many [1, 1, tiles], and which, those first [1, 1, tiles, tiles]."""
    order = np.argsort(~tiles, axis=1, kind="stable").astype(np.int32)
    counts = tiles.sum(1, dtype=np.int32)
    return torch.from_numpy(counts)[None, None].to(device), torch.from_numpy(order)[None, None].to(device)


def _below(ends: torch.Tensor) -> Callable[..., torch.Tensor]:
    def below(_batch: Any, _head: Any, asking: torch.Tensor, asked: torch.Tensor) -> torch.Tensor:
        return (asked <= asking) & (asking < ends[asked])

    return below


_SEEN: set[tuple[Any, ...]] = set()


def compiled(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **rest: Any) -> Any:
    """FlexAttention compiled for each shape that comes.

    PyTorch gives up after 8 shapes, counted over all models of the process; with fullgraph it raises then, and
    never runs the eager kernel, which holds all N x N scores.
    """
    shape = (query.shape, key.shape, value.shape, query.dtype, query.device)
    if shape in _SEEN:
        return _kernel()(query, key, value, **rest)
    with torch._dynamo.config.patch(recompile_limit=1024):  # no public way to raise it for one function
        found = _kernel()(query, key, value, **rest)
    _SEEN.add(shape)
    return found


@cache
def _kernel() -> Callable[..., Any]:
    return torch.compile(flex_attention, dynamic=False, fullgraph=True)
