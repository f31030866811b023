"""Rewards on the shared base equal those of the reward model loaded alone."""

import pytest
import torch

from seam_pipeline.models.stack import AdapterStack, load_reward, read_stack
from seam_pipeline.training._ppo_reward import load_adapters, separate_scorer, shared_scorer, shares_base
from seam_pipeline.training._ppo_views import Views
from seam_pipeline_tests.tiny import tiny_base, tiny_policy_stack, tiny_reward, tiny_reward_stack

INSTRUCTIONS = ["how do I brew?", "x", "why is the hop bitter and the ale pale"]
RESPONSES = ["boil the wort", "", "add hops, then cool it, then pitch the yeast and wait"]


def alone(folder):
    model = load_reward(folder)
    return torch.tensor(
        [model.rewards([model.token_ids(*pair)])[0] for pair in zip(INSTRUCTIONS, RESPONSES, strict=True)]
    )


@pytest.mark.parametrize("lean", [True, False])
def test_shared_base(tmp_path, lean):
    base = tiny_base(tmp_path / "base")
    reward = read_stack(tiny_reward_stack(tmp_path / "reward", base))
    policy = read_stack(tiny_policy_stack(tmp_path / "policy", base))
    assert shares_base(reward, policy)
    stack = AdapterStack.from_base(policy.base_path)
    for name, folder in policy.adapters:
        stack.load_adapter(name, folder)
    names = load_adapters(stack, reward)
    assert stack.names == ("00_sft", "reward_00_sft", "reward_01_rm")
    views = Views(stack)
    views.lean = views.lean and lean
    rewards = shared_scorer(views, names, reward, most_rows=2)(INSTRUCTIONS, RESPONSES)
    torch.testing.assert_close(rewards, alone(tmp_path / "reward"), rtol=0, atol=1e-4)
    assert rewards.dtype == torch.float32


def test_another_base_is_loaded_beside(tmp_path):
    policy = read_stack(tiny_policy_stack(tmp_path / "policy", tiny_base(tmp_path / "base")))
    stacked = tiny_reward_stack(tmp_path / "stacked", tiny_base(tmp_path / "other", seed=1))
    plain = tiny_reward(tmp_path / "plain")
    for folder in (stacked, plain):
        assert not shares_base(read_stack(folder), policy)
        rewards = separate_scorer(folder, torch.device("cpu"))(INSTRUCTIONS, RESPONSES)
        torch.testing.assert_close(rewards, alone(folder), rtol=0, atol=1e-4)
