"""The formulas of PPO for language models: tensors in, tensors out, no model.

Everywhere B = responses, T = response tokens (right padded), masks are True on real tokens (the end-of-text token
included) and False on padding; numbers under False are never read. Log-probabilities and KL are in nats.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Estimator = Literal["k1", "k2", "k3"]


class Advantages(NamedTuple):
    """What GAE gives: both [B, T], 0 on padding."""

    advantages: Tensor
    returns: Tensor


class Loss(NamedTuple):
    """A loss to differentiate and the share of tokens on which its clip was active; both scalars, both sum / tokens."""

    loss: Tensor
    clipped: Tensor


def masked_mean(values: Tensor, mask: Tensor, tokens: Tensor | float | None = None) -> Tensor:
    """Mean of `values` over the True of `mask` (same shape), or their sum over `tokens` where that is given.

    With `tokens` the count of a whole minibatch, the results of its micro-batches add up to the minibatch's mean, so
    accumulated gradients equal those of one large batch whatever the lengths are.
    """
    total = torch.where(mask, values, values.new_zeros(())).sum()
    return total / (mask.sum() if tokens is None else tokens)


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """(values - mean) / std over the True of `mask`, 0 elsewhere; population variance, std floored at 1e-8.

    Advantage normalisation, Andrychowicz et al. 2021 (arXiv 2006.05990), over tokens as in Ziegler et al. 2019.
    """
    mean = masked_mean(values, mask)
    variance = masked_mean((values - mean) ** 2, mask)
    white = (values - mean) / variance.sqrt().clamp_min(1e-8)
    return torch.where(mask, white, white.new_zeros(()))


def token_kl(logp: Tensor, reference_logp: Tensor, estimator: Estimator = "k1") -> Tensor:
    """Per-token estimate of KL(policy || reference) from the policy's own samples; any shape, same shape out.

    With d = log reference - log policy: k1 = -d (unbiased, may be negative), k2 = d^2 / 2 (biased, never negative),
    k3 = exp(d) - 1 - d (unbiased, never negative). Schulman 2020, "Approximating KL divergence".
    """
    difference = reference_logp - logp
    if estimator == "k1":
        return -difference
    return 0.5 * difference**2 if estimator == "k2" else torch.expm1(difference) - difference


def last_token(mask: Tensor) -> Tensor:
    """[B, T] True on the last real token of each row only; a row without real tokens has none."""
    later = torch.zeros_like(mask)
    later[:, :-1] = mask[:, 1:]
    return mask & ~later


def shaped_rewards(scores: Tensor, kl: Tensor, mask: Tensor, coefficient: float) -> Tensor:
    """Rewards [B, T]: -coefficient * kl [B, T] on every real token, plus scores [B] on the last one; 0 on padding.

    r_t = -beta (log pi(y_t) - log pi_ref(y_t)) + [t = end] R(x, y), Ziegler et al. 2019 (arXiv 1909.08593), eq. 2.
    """
    penalty = torch.where(mask, -coefficient * kl, kl.new_zeros(()))
    return penalty + torch.where(last_token(mask), scores[:, None], scores.new_zeros(()))


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> Advantages:
    """Generalised advantage estimates; rewards, values [B, T], values[t] = V before token t.

    delta_t = r_t + gamma V_{t+1} - V_t and A_t = delta_t + gamma lam A_{t+1}, with V and A 0 after the last real token
    (a response cut at its length ends there too); returns = A + V. Schulman et al. 2016 (arXiv 1506.02438), eq. 11-16.
    """
    zero = values.new_zeros(())
    values, rewards = torch.where(mask, values, zero), torch.where(mask, rewards, zero)
    following = torch.zeros_like(values)
    following[:, :-1] = values[:, 1:]
    deltas = rewards + gamma * following - values
    advantages = torch.zeros_like(values)
    carried = torch.zeros_like(values[:, 0])
    for t in reversed(range(values.shape[1])):
        carried = deltas[:, t] + gamma * lam * carried
        advantages[:, t] = carried
    return Advantages(torch.where(mask, advantages, zero), torch.where(mask, advantages + values, zero))


def policy_loss(
    logp: Tensor, old_logp: Tensor, advantages: Tensor, mask: Tensor, clip: float, tokens: float | None = None
) -> Loss:
    """-mean min(rho A, clip(rho, 1 - clip, 1 + clip) A), rho = exp(logp - old_logp); all any shape, the same.

    `tokens` as in `masked_mean`. `clipped` is the share of tokens where the clipped branch is the smaller one.
    Schulman et al. 2017 (arXiv 1707.06347), eq. 7, with the sign of a loss.
    """
    ratio = torch.exp(torch.where(mask, logp - old_logp, logp.new_zeros(())))
    plain = -advantages * ratio
    bounded = -advantages * ratio.clamp(1 - clip, 1 + clip)
    loss = masked_mean(torch.maximum(plain, bounded), mask, tokens)
    return Loss(loss, masked_mean((bounded > plain).float(), mask, tokens).detach())


def value_loss(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip: float, tokens: float | None = None
) -> Loss:
    """0.5 mean max((V - R)^2, (V_clip - R)^2), V_clip = V kept within `clip` of the rollout's V; all the same shape.

    `tokens` as in `masked_mean`. Schulman et al. 2017's code (OpenAI baselines, ppo2); Engstrom et al. 2020.
    """
    zero = values.new_zeros(())
    bounded = old_values + (values - old_values).clamp(-clip, clip)
    plain_error, bounded_error = (torch.where(mask, v - returns, zero) ** 2 for v in (values, bounded))
    loss = 0.5 * masked_mean(torch.maximum(plain_error, bounded_error), mask, tokens)
    return Loss(loss, masked_mean((bounded_error > plain_error).float(), mask, tokens).detach())


def entropy(logp: Tensor) -> Tensor:
    """Entropy in nats of log-probabilities over the last dimension: [..., V] -> [...]; -inf counts as 0 log 0."""
    return -torch.where(logp > -torch.inf, logp.exp() * logp, logp.new_zeros(())).sum(-1)


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> float:
    """1 - Var(returns - values) / Var(returns) over the True of `mask`; NaN where the returns do not vary."""
    target, error = returns[mask].double(), (returns - values)[mask].double()
    variance = target.var(correction=0).item()
    return 1.0 - error.var(correction=0).item() / variance if variance > 0 else float("nan")


@dataclass
class KLController:
    """The KL coefficient beta: fixed where `target` is None, else proportional control in log space.

    beta <- beta (1 + clip(KL / target - 1, -0.2, 0.2) * episodes / horizon), KL the mean over responses of the summed
    token KL. Ziegler et al. 2019 (arXiv 1909.08593), section 2.2 (there with K_beta = episodes / horizon).
    """

    coefficient: float
    target: float | None
    horizon: int

    def update(self, kl: float, episodes: int) -> None:
        """Move the coefficient after a batch of `episodes` responses whose mean summed KL is `kl`."""
        if self.target is not None:
            error = min(max(kl / self.target - 1.0, -0.2), 0.2)
            self.coefficient *= 1.0 + error * episodes / self.horizon
