"""From scores to what is trained on, computed by hand."""

import pytest
import torch
from torch import tensor

from seam_pipeline.experiment import PPO
from seam_pipeline.training._ppo_scores import moments, trained_scores

SCORES = tensor([1.0, 3.0, 5.0, 7.0])
ENDED = tensor([True, False, True, True])
ROOT5 = 5**0.5


def trained(past=(), scores=SCORES, **settings):
    return trained_scores(scores, ENDED, past, PPO(**settings)).tolist()


def row(scores):
    return {"reward_mean": float(scores.double().mean()), "reward_std": float(scores.double().std(correction=0))}


def test_without_settings_nothing_changes():
    assert torch.equal(trained_scores(SCORES, ENDED, [], PPO()), SCORES)


def test_whitened_over_the_batch():
    # mean 4, variance (9 + 1 + 1 + 9) / 4 = 5; the past is not read
    expected = [-3 / ROOT5, -1 / ROOT5, 1 / ROOT5, 3 / ROOT5]
    assert trained(reward_whiten="batch", past=[row(100 * SCORES)]) == pytest.approx(expected)


def test_whitened_over_all_batches_so_far():
    # with 5, 5, 5, 9 before: mean 5, variance (16 + 4 + 0 + 4 + 0 + 0 + 0 + 16) / 8 = 5
    past = [row(tensor([5.0, 5.0, 5.0, 9.0]))]
    expected = [-4 / ROOT5, -2 / ROOT5, 0.0, 2 / ROOT5]
    assert trained(reward_whiten="running", past=past) == pytest.approx(expected, abs=1e-6)


def test_running_moments_are_those_of_all_scores():
    batches = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)) * tensor([1.0, 5.0, 2.0, 9.0])
    mean, std = moments(batches[-1], [row(batch) for batch in batches[:-1]])
    assert (mean, std) == pytest.approx((batches.mean().item(), batches.std(correction=0).item()), rel=1e-5)


def test_equal_scores_whiten_to_zero():
    assert trained(scores=torch.full((4,), 2.0), reward_whiten="batch") == [0.0] * 4


def test_clip_then_penalty():
    assert trained(reward_clip=2.0) == [1.0, 2.0, 2.0, 2.0]
    assert trained(reward_clip=2.0, missing_eos_penalty=5.0) == [1.0, -3.0, 2.0, 2.0]


def test_whiten_before_the_clip():
    expected = [-1.0, -1 / ROOT5 - 0.5, 1 / ROOT5, 1.0]
    assert trained(reward_whiten="batch", reward_clip=1.0, missing_eos_penalty=0.5) == pytest.approx(expected)
