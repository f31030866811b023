"""From the reward model's scores to what PPO trains on: whitened, clipped, penalised."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..experiment import PPO

FLOOR = 1e-8
"""Smallest standard deviation divided by."""


def trained_scores(scores: Tensor, ended: Tensor, past: Sequence[Mapping[str, Any]], settings: PPO) -> Tensor:
    """Scores [B] as the objective sees them; `ended` [B] is True where the response has its end token.

    In this order: `reward_whiten`, `reward_clip`, `missing_eos_penalty`; so the penalty is neither whitened nor
    clipped away. `past` are the metrics of the steps before, all with B responses. Without settings: unchanged.
    Score normalisation: Ziegler et al. 2019 (arXiv 1909.08593), section 2.1 (there once, before training); penalty:
    Huang et al. 2024 (arXiv 2403.17031), detail 4.
    """
    if settings.reward_whiten is not None:
        mean, std = moments(scores, past if settings.reward_whiten == "running" else ())
        scores = (scores - mean) / max(std, FLOOR)
    if settings.reward_clip is not None:
        scores = scores.clamp(-settings.reward_clip, settings.reward_clip)
    if settings.missing_eos_penalty:
        scores = torch.where(ended, scores, scores - settings.missing_eos_penalty)
    return scores


def moments(scores: Tensor, past: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Mean and population standard deviation of these scores and of all in `past`.

    From the batches' own: mean = E[mean_b], variance = E[std_b^2] + Var[mean_b]. The metrics keep both in full
    precision, so a continued run needs no other state.
    """
    numbers = scores.double()
    means = [*(row["reward_mean"] for row in past), float(numbers.mean())]
    variances = [*(row["reward_std"] ** 2 for row in past), float(numbers.var(correction=0))]
    mean = sum(means) / len(means)
    between = sum((batch - mean) ** 2 for batch in means) / len(means)
    return float(mean), float((sum(variances) / len(variances) + between) ** 0.5)
