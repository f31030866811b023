"""One forward pass of a batch of token sequences, packed into a prefix tree or padded, and where the states are."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from ..models._compat import plain, quiet, trunk_of
from ..models._tiles import whole
from ._attention import Plan, tree_attention
from ._blocks import Blocks, blocks_of
from ._flex import flex_of
from ._narrow import last_layer_narrowed
from ._tree import Ids, grow, narrow

Kernel = Literal["flex", "blocks"]
"""How a tree attends: FlexAttention, or SDPA over padded blocks."""
WORTHWHILE = 0.9
"""The last layer is narrowed when at most this share of the nodes is read."""


@dataclass(frozen=True)
class Batch:
    """ids [B, T]; `spots[i]` are the places of sequence i's tokens in the flattened B * T.

    `wanted`: the nodes whose last state is read, the others' is undefined; None is all.
    """

    ids: torch.Tensor
    mask: torch.Tensor | None
    positions: torch.Tensor | None
    plan: Plan | None
    spots: list[Ids]
    wanted: torch.Tensor | None = None


def packed(
    sequences: Sequence[Ids], device: torch.device, kernel: Kernel = "blocks", first: Sequence[int] | None = None
) -> Batch:
    """One row [1, nodes] with restarted positions, filled up to whole tiles; attention follows the prefix tree.

    Sequence i is read from its place first[i] on (None: all sequences, all of them).
    """
    tree = grow(sequences)
    nodes, segments = narrow(tree, [0] * len(sequences) if first is None else first)
    few = first is not None and len(nodes) <= WORTHWHILE * len(tree.tokens)
    ids, depths = (torch.from_numpy(_filled(array, 0))[None].to(device) for array in (tree.tokens, tree.depths))
    wanted = torch.from_numpy(_filled(nodes, nodes[-1])).to(device) if few else None
    if kernel == "flex":
        return Batch(ids, None, depths, flex_of(tree.ends, device), tree.paths, wanted)
    every = blocks_of(tree.segments, device)
    return Batch(ids, None, depths, Blocks(every, blocks_of(segments, device) if few else every), tree.paths, wanted)


def _filled(array: Ids, value: int) -> Ids:
    return np.pad(array, (0, whole(len(array)) - len(array)), constant_values=value)


def padded(sequences: Sequence[Ids], device: torch.device, width: int | None = None) -> Batch:
    """One row per sequence, padded on the right (with token 0, which the mask hides) to the longest or to `width`."""
    width = width or max(map(len, sequences))
    ids, mask = np.zeros((len(sequences), width), np.int64), np.zeros((len(sequences), width), np.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)], mask[row, : len(sequence)] = sequence, 1
    spots = [row * width + np.arange(len(sequence)) for row, sequence in enumerate(sequences)]
    return Batch(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device), None, None, spots)


def hidden_states(model: Any, batch: Batch) -> torch.Tensor:
    """Last hidden states of every place of the batch, [B * T, H]; undefined where they are not `wanted`."""
    trunk = trunk_of(model)
    if batch.plan is None:
        output = trunk(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False)
    else:
        with ExitStack() as stack:
            stack.enter_context(tree_attention(trunk, batch.plan))
            if batch.wanted is not None:
                stack.enter_context(last_layer_narrowed(trunk, batch.wanted))
            output = trunk(input_ids=batch.ids, position_ids=batch.positions, use_cache=False)
    states: torch.Tensor = output.last_hidden_state
    return states.flatten(0, 1)


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """No gradients, no dropout and no advice from the library inside."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode(), quiet():
            yield
    finally:
        model.train(training)


def n_tokens_known(model: Any) -> int:
    """Rows of the embedding: token ids below this can be read."""
    inner: Any = plain(model)
    return int(inner.get_input_embeddings().weight.shape[0])
