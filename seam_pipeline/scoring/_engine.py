"""Runs groups of token sequences through a trunk, packed or padded, and says where each token's state is."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from ..errors import SeamError
from ..models._compat import plain, quiet, trunk_of
from ._attention import Block, blocks_of, tree_attention
from ._batches import Member, packed_batches, padded_batches
from ._limits import Limits, limits_of
from ._tree import Ids, grow

Layout = Literal["packed", "padded", "auto"]
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
HALF_TOLERANCE = 5e-2
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """ids [B, T]; `spots[i]` are the places of sequence i's tokens in the flattened B * T."""

    ids: torch.Tensor
    mask: torch.Tensor | None
    positions: torch.Tensor | None
    blocks: list[Block] | None
    spots: list[Ids]


def packed(sequences: Sequence[Ids], device: torch.device) -> Batch:
    """One row [1, nodes] with restarted positions; attention follows the prefix tree."""
    tree = grow(sequences)
    ids, depths = (torch.from_numpy(array)[None].to(device) for array in (tree.tokens, tree.depths))
    return Batch(ids, None, depths, blocks_of(tree.segments, device), tree.paths)


def padded(sequences: Sequence[Ids], device: torch.device) -> Batch:
    """One row per sequence, padded on the right (with token 0, which the mask hides)."""
    width = max(map(len, sequences))
    ids, mask = np.zeros((len(sequences), width), np.int64), np.zeros((len(sequences), width), np.int64)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)], mask[row, : len(sequence)] = sequence, 1
    spots = [row * width + np.arange(len(sequence)) for row, sequence in enumerate(sequences)]
    return Batch(torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device), None, None, spots)


def hidden_states(model: Any, batch: Batch) -> torch.Tensor:
    """Last hidden states of every place of the batch, [B * T, H]."""
    trunk = trunk_of(model)
    if batch.blocks is None:
        output = trunk(input_ids=batch.ids, attention_mask=batch.mask, use_cache=False)
    else:
        with tree_attention(trunk, batch.blocks):
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


class Engine:
    """A model with a layout that was checked against running sequences one by one.

    packed: prompt and responses are one prefix tree, shared tokens are computed once, nothing is padded.
    padded: each sequence is a row, sorted by length. auto: packed where the check passes, else padded.
    Sequences beyond a sliding window (or that rescale the rotary positions) are padded in auto, refused in packed.
    """

    def __init__(self, model: Any, device: torch.device | str, layout: Layout, tokens_per_batch: int) -> None:
        self.model, self.device, self.tokens_per_batch = model, torch.device(device), tokens_per_batch
        self.limits: Limits = limits_of(plain(model).config)
        self.asked = layout
        self.layout = layout if layout == "padded" else self._checked(layout)

    def _checked(self, layout: Layout) -> Layout:
        with evaluating(self.model):
            problem = packing_problem(self.model, self.device, self.limits)
        if problem is None:
            return "packed"
        name = type(plain(self.model)).__name__
        if layout == "packed":
            raise SeamError(f"{name} can't be scored with layout packed ({problem}); use layout auto or padded.")
        log.warning("%s is scored with layout padded, which is slower: %s", name, problem)
        return "padded"

    def batches(self, groups: Sequence[Sequence[Ids]]) -> Iterator[tuple[list[Member], Batch]]:
        """All sequences of all groups, each once; groups share beginnings."""
        reach = self.limits.packable
        fits = [[reach is None or len(sequence) <= reach for sequence in group] for group in groups]
        if self.layout == "padded":
            yield from self._padded(groups, [[False] * len(group) for group in groups])
            return
        if self.asked == "packed" and not all(map(all, fits)):
            raise SeamError(f"Layout packed holds at most {reach} tokens of this model; use layout auto or padded.")
        yield from self._packed(groups, fits)
        yield from self._padded(groups, fits)

    def _packed(self, groups: Sequence[Sequence[Ids]], fits: list[list[bool]]) -> Iterator[tuple[list[Member], Batch]]:
        chosen = [[place for place, fit in enumerate(flags) if fit] for flags in fits]
        parts = [[group[place] for place in places] for group, places in zip(groups, chosen, strict=True)]
        for batch in packed_batches(parts, self.tokens_per_batch):
            sequences = [parts[g][part] for g, part in batch]
            yield [(g, chosen[g][part]) for g, part in batch], packed(sequences, self.device)

    def _padded(self, groups: Sequence[Sequence[Ids]], fits: list[list[bool]]) -> Iterator[tuple[list[Member], Batch]]:
        chosen = [[place for place, fit in enumerate(flags) if not fit] for flags in fits]
        parts = [[group[place] for place in places] for group, places in zip(groups, chosen, strict=True)]
        for batch in padded_batches(parts, self.tokens_per_batch, self.limits.alone_above):
            sequences = [parts[g][part] for g, part in batch]
            yield [(g, chosen[g][part]) for g, part in batch], padded(sequences, self.device)


def packing_problem(model: Any, device: torch.device, limits: Limits) -> str | None:
    """Run four short sequences packed and one by one; None when the states agree, else what went wrong.

    Catches models whose attention can't be exchanged, adds terms of its own (ALiBi, sinks, soft caps), carries
    state along the row (recurrent layers), or ignores positions.
    """
    sequences = [ids for ids in _probe(model) if limits.packable is None or len(ids) <= limits.packable]
    alone = torch.cat([hidden_states(model, padded([ids], device)) for ids in sequences])
    try:
        batch = packed(sequences, device)
        together = hidden_states(model, batch)[np.concatenate(batch.spots)]
    except (TypeError, ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    off = relative_error(together, alone)
    if off <= TOLERANCE.get(together.dtype, HALF_TOLERANCE):
        return None
    return f"its hidden states differ by {off:.1e} from those of single sequences"


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference over the largest magnitude."""
    return float((ours.float() - theirs.float()).abs().max() / theirs.float().abs().max().clamp_min(1e-12))


def _probe(model: Any) -> list[Ids]:
    """Two unrelated trees, the first with branches at two depths."""
    inner: Any = plain(model)
    size = int(inner.get_input_embeddings().weight.shape[0])
    ids = np.random.default_rng(0).integers(0, size, 24)
    prompt, first, second, other = ids[:7], ids[7:13], ids[13:16], ids[16:]
    return [
        np.concatenate([prompt, first]),
        np.concatenate([prompt, first[:2], second]),
        np.concatenate([prompt, second[:1]]),
        other,
    ]
