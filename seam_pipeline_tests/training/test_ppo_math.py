"""PPO's formulas against numbers computed by hand, and against padding."""

import math

import pytest
import torch
from torch import tensor

from seam_pipeline.training._ppo_math import (
    KLController,
    entropy,
    explained_variance,
    gae,
    last_token,
    masked_mean,
    policy_loss,
    shaped_rewards,
    token_kl,
    value_loss,
    whiten,
)

NAN = float("nan")
MASK = tensor([[True, True, True], [True, True, False]])


def close(one: torch.Tensor, other: list) -> None:
    torch.testing.assert_close(one, tensor(other), rtol=0, atol=1e-6)


def test_masked_mean_never_reads_padding():
    values = tensor([[1.0, 2.0, 3.0], [4.0, 5.0, NAN]])
    assert masked_mean(values, MASK).item() == pytest.approx(3.0)
    assert masked_mean(values, MASK, tokens=10).item() == pytest.approx(1.5)


def test_whiten_has_mean_0_and_population_variance_1_over_real_tokens():
    white = whiten(tensor([[1.0, 2.0, 3.0], [4.0, 5.0, NAN]]), MASK)
    root = math.sqrt(2.0)
    close(white, [[-2 / root, -1 / root, 0.0], [1 / root, 2 / root, 0.0]])


def test_whiten_of_equal_numbers_is_zero():
    close(whiten(torch.full((2, 3), 7.0), MASK), [[0.0] * 3] * 2)


def test_token_kl_estimators():
    logp, reference = tensor([-1.0, -2.0]), tensor([-1.5, -1.0])
    close(token_kl(logp, reference), [0.5, -1.0])
    close(token_kl(logp, reference, "k2"), [0.125, 0.5])
    close(token_kl(logp, reference, "k3"), [math.exp(-0.5) - 1 + 0.5, math.e - 1 - 1])


def test_k1_and_k3_are_unbiased_estimates_of_the_divergence():
    p, q = tensor([0.5, 0.3, 0.2]), tensor([0.2, 0.5, 0.3])
    exact = (p * (p / q).log()).sum().item()
    for estimator in ("k1", "k3"):
        assert (p * token_kl(p.log(), q.log(), estimator)).sum().item() == pytest.approx(exact, abs=1e-6)


def test_last_token_is_a_matter_of_position():
    assert last_token(MASK).tolist() == [[False, False, True], [False, True, False]]
    assert last_token(tensor([[False, False]])).tolist() == [[False, False]]


def test_reward_falls_on_the_last_real_token():
    kl = tensor([[1.0, 2.0, 3.0], [4.0, 5.0, NAN]])
    close(shaped_rewards(tensor([10.0, 20.0]), kl, MASK, 0.1), [[-0.1, -0.2, 9.7], [-0.4, 19.5, 0.0]])


def test_gae_by_hand_and_padding_ends_the_episode():
    rewards = tensor([[1.0, 2.0, 3.0], [1.0, 2.0, NAN]])
    values = tensor([[0.5, 0.4, 0.3], [0.5, 0.4, NAN]])
    advantages, returns = gae(rewards, values, MASK, gamma=0.9, lam=0.8)
    close(advantages, [[3.60608, 3.814, 2.7], [2.012, 1.6, 0.0]])
    close(returns, [[4.10608, 4.214, 3.0], [2.512, 2.0, 0.0]])


def test_gae_with_lambda_1_is_the_discounted_return_less_the_value():
    rewards, values, mask = torch.randn(4, 6), torch.randn(4, 6), torch.ones(4, 6, dtype=torch.bool)
    advantages, _ = gae(rewards, values, mask, gamma=0.9, lam=1.0)
    discounts = 0.9 ** torch.arange(6.0)
    expected = torch.stack([(rewards[:, t:] * discounts[: 6 - t]).sum(1) - values[:, t] for t in range(6)], 1)
    torch.testing.assert_close(advantages, expected)


def test_policy_loss_takes_the_pessimistic_branch():
    logp = tensor([math.log(1.5), math.log(1.5), math.log(0.5), math.log(0.5)])
    advantages = tensor([1.0, -1.0, 1.0, -1.0])
    mask = torch.ones(4, dtype=torch.bool)
    loss, clipped = policy_loss(logp, torch.zeros(4), advantages, mask, 0.2)
    # min(1.5, 1.2) = 1.2; min(-1.5, -1.2) = -1.5; min(0.5, 0.8) = 0.5; min(-0.5, -0.8) = -0.8
    assert loss.item() == pytest.approx(-(1.2 - 1.5 + 0.5 - 0.8) / 4)
    assert clipped.item() == pytest.approx(0.5)


def test_policy_loss_gradient_at_the_start_is_minus_the_advantage():
    logp = torch.zeros(2, 3, requires_grad=True)
    advantages = tensor([[1.0, -2.0, 3.0], [4.0, 5.0, NAN]])
    policy_loss(logp, tensor([[0.0, 0.0, 0.0], [0.0, 0.0, NAN]]), advantages, MASK, 0.2).loss.backward()
    close(logp.grad, [[-0.2, 0.4, -0.6], [-0.8, -1.0, 0.0]])


def test_value_loss_takes_the_larger_error():
    values, old, returns = tensor([1.0, 0.1, NAN]), tensor([0.0, 0.0, 0.0]), tensor([1.0, 1.0, 1.0])
    mask = tensor([True, True, False])
    loss, clipped = value_loss(values.requires_grad_(), old, returns, mask, 0.2)
    # first: clipped to 0.2, error 0.64 > 0; second: not clipped, error 0.81
    assert loss.item() == pytest.approx(0.5 * (0.64 + 0.81) / 2)
    assert clipped.item() == pytest.approx(0.5)
    loss.backward()
    close(values.grad, [0.0, 0.5 * 2 * (0.1 - 1.0) / 2, 0.0])


def test_entropy_of_uniform_and_certain_distributions():
    flat = [-math.log(4)] * 4
    close(entropy(tensor([flat, [0.0, -torch.inf, -torch.inf, -torch.inf]])), [math.log(4), 0.0])


def test_explained_variance():
    returns = tensor([[1.0, 2.0, 3.0], [4.0, 5.0, NAN]])
    assert explained_variance(returns.clone(), returns, MASK) == pytest.approx(1.0)
    assert explained_variance(torch.zeros(2, 3), returns, MASK) == pytest.approx(0.0)
    assert math.isnan(explained_variance(torch.zeros(2, 3), torch.ones(2, 3), MASK))


def test_adaptive_kl_moves_by_at_most_a_fifth_of_the_share_of_the_horizon():
    controller = KLController(0.2, target=6.0, horizon=100)
    controller.update(60.0, 50)
    assert controller.coefficient == pytest.approx(0.2 * 1.1)
    controller.update(6.6, 50)
    assert controller.coefficient == pytest.approx(0.22 * 1.05)
    controller.update(0.0, 100)
    assert controller.coefficient == pytest.approx(0.231 * 0.8)


def test_a_fixed_kl_coefficient_stays():
    controller = KLController(0.2, target=None, horizon=100)
    controller.update(60.0, 50)
    assert controller.coefficient == 0.2
