"""PPO's updates: epochs over a rollout batch in minibatches, each one optimizer step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import SeamError
from ..experiment import PPO
from ._divided import in_step
from ._parallel import largest, share, sum_gradients, summed
from ._ppo_actor import Actor
from ._ppo_math import masked_mean, policy_loss, token_kl, value_loss
from ._ppo_prompts import length_groups, stream
from ._ppo_rollout import Rollout
from ._ppo_views import View

KL_SLACK = 1.5
"""The epochs end at this multiple of `target_kl`."""
EXACT, ROUNDED = 0.01, 1.0
"""Largest error (nats) of a token's log-probability from sampling: float32 models, and those of lower precision."""


class NotFiniteError(Exception):
    """A loss or gradient is NaN or infinite; nothing was stepped with it."""


@dataclass(frozen=True)
class Targets:
    """What a batch is trained towards: whitened `advantages` and `returns`, both [B, T]."""

    advantages: Tensor
    returns: Tensor


class UpdateStats(NamedTuple):
    """Means over the tokens of a minibatch; `approx_kl` is k3 of the rollout's policy against the present one.

    `logp_gap` is no mean but the largest |log P now - log P when sampled|: before a step's first update, the error of
    sampling.
    """

    policy_loss: Tensor
    value_loss: Tensor
    clip_fraction: Tensor
    value_clip_fraction: Tensor
    approx_kl: Tensor
    logp_gap: Tensor


def accumulate(
    actor: Actor, view: View, rollout: Rollout, targets: Targets, rows: list[int], settings: PPO
) -> UpdateStats:
    """Add the gradient of one minibatch's loss inside `entered(view)`.

    Loss = policy + value_coefficient * value - entropy_coefficient * mean token entropy (Schulman et al. 2017, arXiv
    1707.06347, eq. 9). The rows run in micro-batches of similar length, `gradient_accumulation` of them or more. All
    are normalised by the minibatch's token count: the sum is the gradient of the minibatch in one piece. Among several
    processes each runs its share of the rows: its gradients are a part of that sum, the numbers returned are the whole.
    """
    longest = (rollout.prompt_lengths + rollout.lengths).tolist()
    most_rows = len(rows) // settings.gradient_accumulation
    tokens = float(rollout.mask[rows].sum())
    mine = share(sorted(rows, key=lambda row: -longest[row]))
    total = torch.zeros(len(UpdateStats._fields), device=rollout.mask.device)
    for group, counts in in_step(length_groups([longest[row] for row in mine], most_rows)):
        loss, stats = _micro(actor, view, rollout, targets, [mine[i] for i in group], tokens, settings)
        (loss if counts else 0 * loss).backward()
        if not counts:
            continue
        total[:-1] += stats[:-1]
        total[-1] = torch.maximum(total[-1], stats[-1])
    return UpdateStats(*torch.cat((summed(total[:-1]), largest(total[-1:]))).unbind())


def _micro(
    actor: Actor, view: View, rollout: Rollout, targets: Targets, rows: list[int], tokens: float, settings: PPO
) -> tuple[Tensor, Tensor]:
    index = torch.tensor(rows, device=rollout.mask.device)
    ids, row, place = rollout.select(index)
    mask = rollout.mask[index]
    hidden = actor.views.states(view, ids, row, place)
    logp, spread = actor.numbers(hidden, rollout.tokens[index][mask], settings.entropy_coefficient > 0)
    values = actor.head(hidden.float()).squeeze(-1)
    old_logp, old_values = rollout.logp[index][mask], rollout.values[index][mask]
    real = torch.ones_like(logp, dtype=torch.bool)
    policy = policy_loss(logp, old_logp, targets.advantages[index][mask], real, settings.clip, tokens)
    value = value_loss(values, old_values, targets.returns[index][mask], real, settings.value_clip, tokens)
    moved = masked_mean(token_kl(old_logp, logp.detach(), "k3"), real, tokens)
    gap = (logp.detach() - old_logp).abs().max()
    stats = torch.stack((policy.loss.detach(), value.loss.detach(), policy.clipped, value.clipped, moved, gap))
    loss = policy.loss + settings.value_coefficient * value.loss
    if spread is not None:
        loss = loss - settings.entropy_coefficient * masked_mean(spread, real, tokens)
    return loss, stats


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

    `logp_gap` is that of the first minibatch, `updates` the number of optimizer steps, and `kl_stop` 1 where
    approx_kl passed 1.5 target_kl and the rest was left out (OpenAI 2018, Spinning Up, ppo.py), else 0.
    Raises NotFiniteError before a step that would spoil the weights, and SeamError when sampling did not give the
    log-probabilities of a fresh forward.
    """
    view = actor.training()
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    seen: list[Tensor] = []
    stopped = False
    with actor.views.entered(view), actor.views.recomputing(settings.gradient_checkpointing):
        for rows in _minibatches(settings, seed, step):
            optimizer.zero_grad(set_to_none=True)
            stats = accumulate(actor, view, rollout, targets, rows, settings)
            sum_gradients(parameters)
            norm = torch.nn.utils.clip_grad_norm_(parameters, settings.max_grad_norm)
            numbers = torch.stack((*stats, norm))
            if not bool(torch.isfinite(numbers).all()):
                raise NotFiniteError
            if not seen and step == 0:
                _check_sampling(actor, float(stats.logp_gap))
            if settings.target_kl is not None and float(stats.approx_kl) > KL_SLACK * settings.target_kl:
                stopped = True
                break
            seen.append(numbers)
            optimizer.step()
    means = torch.stack(seen or [numbers]).double().mean(0).tolist()
    outcome = dict(zip((*UpdateStats._fields, "grad_norm"), means, strict=True))
    first = seen[0] if seen else numbers
    outcome["logp_gap"] = float(first[UpdateStats._fields.index("logp_gap")])
    return outcome | {"updates": len(seen), "kl_stop": int(stopped)}


def _minibatches(settings: PPO, seed: int, step: int) -> Iterator[list[int]]:
    for epoch in range(settings.epochs):
        order = torch.randperm(settings.batch_size, generator=stream(seed, "minibatches", step, epoch))
        for rows in order.split(settings.minibatch_size):
            yield rows.tolist()


def _check_sampling(actor: Actor, gap: float) -> None:
    exact = all(parameter.dtype == torch.float32 for parameter in actor.views.stack.model.parameters())
    allowed = EXACT if exact else ROUNDED
    if gap > allowed:
        name = type(actor.views.stack.model).__name__
        raise SeamError(
            f"Sampling from {name} gave log-probabilities up to {gap:.2g} nats away from a forward over the whole text "
            f"(allowed: {allowed:g}), so PPO's ratios would be wrong; set rl.ppo.dtype to float32, or use another base "
            "model if it is."
        )
