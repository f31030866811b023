"""Rollouts of several processes put together: each samples every world-th row of the batch, then all have all rows."""

from dataclasses import fields

import torch
from torch import Tensor
from torch.nn.functional import pad as padded

from ..errors import SeamError
from ..experiment import PPO
from ._parallel import gathered, in_order, world
from ._ppo_rollout import Rollout


def check_processes(settings: PPO) -> None:
    """Raises SeamError when a minibatch has fewer rows than there are processes."""
    if settings.minibatch_size < world():
        raise SeamError(
            f"rl.ppo.minibatch_size {settings.minibatch_size} is less than the {world()} processes that share it; "
            "raise it or lower compute.processes."
        )


def all_rows(own: Rollout, reference: Tensor, pad: int) -> tuple[Rollout, Tensor]:
    """Rollout and reference log-probabilities [B, T] of the whole batch from each process's rows.

    It is what one process would have sampled: rows in the batch's order, widths trimmed to its longest.
    """
    if world() == 1:
        return own, reference
    names = [field.name for field in fields(Rollout)]
    parts = gathered([*(getattr(own, name).cpu() for name in names), reference.cpu()])
    filling = {"sequences": pad, "tokens": pad}
    whole = [
        _rows([part[number] for part in parts], filling.get(name, 0)).to(own.mask.device)
        for number, name in enumerate([*names, "reference"])
    ]
    return Rollout(*whole[:-1]), whole[-1]


def _rows(parts: list[Tensor], value: int) -> Tensor:
    """Rows of equal width in the batch's order; padding on the right."""
    if parts[0].dim() == 2:
        width = max(part.shape[1] for part in parts)
        parts = [padded(part, (0, width - part.shape[1]), value=value) for part in parts]
    return torch.stack(in_order([list(part) for part in parts]))
