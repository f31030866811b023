"""Does a model give the same states when sequences are packed? Tried on a few random ones before it is trusted."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ._forward import Kernel, hidden_states, n_tokens_known, packed, padded
from ._limits import Limits
from ._tree import Ids

TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-6}
HALF_TOLERANCE = 5e-2


@dataclass(frozen=True)
class Trial:
    """A way to pack, and what went wrong when it was tried (None: nothing)."""

    kernel: Kernel
    narrow: bool
    problem: str | None


def trials(model: Any, device: torch.device, limits: Limits, kernels: Sequence[Kernel]) -> Iterator[Trial]:
    """Short sequences packed and one by one, the fastest way first; ask until one has no problem.

    Catches models whose attention can't be exchanged, adds terms of its own (ALiBi, sinks, soft caps), carries
    state along the row (recurrent layers), or ignores positions.
    """
    known = _Known(model, device, _sequences(n_tokens_known(model), limits.packable))
    for kernel in kernels:
        for narrow in (True, False):
            yield Trial(kernel, narrow, _problem(known, kernel, narrow))


class _Known:
    """Short sequences, and their states when each is run alone."""

    def __init__(self, model: Any, device: torch.device, sequences: Sequence[Ids]) -> None:
        self.model, self.device, self.sequences = model, device, sequences
        self.states = [hidden_states(model, padded([ids], device)) for ids in sequences]


def _problem(known: _Known, kernel: Kernel, narrow: bool) -> str | None:
    try:
        off = _difference(known, kernel, narrow)
    except (TypeError, ValueError, RuntimeError, KeyError, AttributeError, NotImplementedError) as error:
        return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if off <= tolerance(known.states[0].dtype):
        return None
    return f"its hidden states differ by {off:.1e} from those of single sequences"


def _difference(known: _Known, kernel: Kernel, narrow: bool) -> float:
    """Relative error of the sequences' states, of the last two of each when narrowed."""
    first = [max(0, len(ids) - 2) if narrow else 0 for ids in known.sequences]
    batch = packed(known.sequences, known.device, kernel, first)
    spots = np.concatenate([path[place:] for path, place in zip(batch.spots, first, strict=True)])
    alone = torch.cat([states[place:] for states, place in zip(known.states, first, strict=True)])
    return relative_error(hidden_states(known.model, batch)[spots], alone)


def tolerance(dtype: torch.dtype) -> float:
    """Largest relative error that passes."""
    return TOLERANCE.get(dtype, HALF_TOLERANCE)


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference over the largest magnitude."""
    return float((ours.float() - theirs.float()).abs().max() / theirs.float().abs().max().clamp_min(1e-12))


def _sequences(known: int, longest: int | None) -> list[Ids]:
    """Two unrelated trees of random ids below `known`, the first with branches at two depths."""
    ids = np.random.default_rng(0).integers(0, known, 24)
    prompt, first, second, other = ids[:7], ids[7:13], ids[13:16], ids[16:]
    found = [
        np.concatenate([prompt, first]),
        np.concatenate([prompt, first[:2], second]),
        np.concatenate([prompt, second[:1]]),
        other,
    ]
    return [sequence[:longest] for sequence in found]
