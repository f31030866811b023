"""PPO's updates: epochs over a rollout batch in minibatches, each one optimizer step."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..experiment import PPO
from ._ppo_actor import Actor
from ._ppo_math import masked_mean, policy_loss, token_kl, value_loss
from ._ppo_prompts import length_groups, stream
from ._ppo_rollout import Rollout
from ._ppo_views import View


class NotFiniteError(Exception):
    """A loss or gradient is NaN or infinite; nothing was stepped with it."""


@dataclass(frozen=True)
class Targets:
    """What a batch is trained towards: whitened `advantages` and `returns`, both [B, T]."""

    advantages: Tensor
    returns: Tensor


class UpdateStats(NamedTuple):
    """Means over the tokens of a minibatch; `approx_kl` is k3 of the rollout's policy against the present one."""

    policy_loss: Tensor
    value_loss: Tensor
    clip_fraction: Tensor
    value_clip_fraction: Tensor
    approx_kl: Tensor


def accumulate(
    actor: Actor, view: View, rollout: Rollout, targets: Targets, rows: list[int], settings: PPO
) -> UpdateStats:
    """Add the gradient of one minibatch's loss, policy + value_coefficient * value, inside `entered(view)`.

    The rows run in micro-batches of similar length, `gradient_accumulation` of them or more. All are normalised by the
    minibatch's token count: the sum is the gradient of the minibatch in one piece.
    """
    lengths = (rollout.prompt_lengths + rollout.lengths)[rows].tolist()
    tokens = float(rollout.mask[rows].sum())
    total = torch.zeros(len(UpdateStats._fields), device=rollout.mask.device)
    for group in length_groups(lengths, len(rows) // settings.gradient_accumulation):
        loss, stats = _micro(actor, view, rollout, targets, [rows[i] for i in group], tokens, settings)
        loss.backward()
        total += stats
    return UpdateStats(*total.unbind())


def _micro(
    actor: Actor, view: View, rollout: Rollout, targets: Targets, rows: list[int], tokens: float, settings: PPO
) -> tuple[Tensor, Tensor]:
    index = torch.tensor(rows, device=rollout.mask.device)
    ids, row, place = rollout.select(index)
    mask = rollout.mask[index]
    hidden = actor.views.hidden(view, ids)[row, place]
    logp = actor.logp(hidden, rollout.tokens[index][mask])
    values = actor.head(hidden.float()).squeeze(-1)
    old_logp, old_values = rollout.logp[index][mask], rollout.values[index][mask]
    real = torch.ones_like(logp, dtype=torch.bool)
    policy = policy_loss(logp, old_logp, targets.advantages[index][mask], real, settings.clip, tokens)
    value = value_loss(values, old_values, targets.returns[index][mask], real, settings.value_clip, tokens)
    moved = masked_mean(token_kl(old_logp, logp.detach(), "k3"), real, tokens)
    stats = torch.stack((policy.loss.detach(), value.loss.detach(), policy.clipped, value.clipped, moved))
    return policy.loss + settings.value_coefficient * value.loss, stats


def update(
    actor: Actor,
    optimizer: torch.optim.Optimizer,
    rollout: Rollout,
    targets: Targets,
    settings: PPO,
    seed: int,
    step: int,
) -> dict[str, float]:
    """All epochs over one batch; returns the means of `UpdateStats` over its optimizer steps, and `grad_norm`.

    Raises NotFiniteError before a step that would spoil the weights.
    """
    view = actor.training()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    seen = []
    with actor.views.entered(view):
        for epoch in range(settings.epochs):
            order = torch.randperm(settings.batch_size, generator=stream(seed, "minibatches", step, epoch))
            for rows in order.split(settings.minibatch_size):
                optimizer.zero_grad(set_to_none=True)
                stats = accumulate(actor, view, rollout, targets, rows.tolist(), settings)
                norm = torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
                seen.append(torch.stack((*stats, norm)))
                if not bool(torch.isfinite(seen[-1]).all()):
                    raise NotFiniteError
                optimizer.step()
    means = torch.stack(seen).double().mean(0).tolist()
    return dict(zip((*UpdateStats._fields, "grad_norm"), means, strict=True))
