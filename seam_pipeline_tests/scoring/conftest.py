from pathlib import Path

import pytest

from seam_pipeline.models.stack import Policy, RewardModel, load_policy, load_reward

from ..tiny import tiny_base, tiny_policy_stack, tiny_reward, tiny_reward_stack


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A plain policy and reward model, and a stack of each."""
    place = tmp_path_factory.mktemp("models")
    base = tiny_base(place / "policy", seed=1)
    return {
        "policy": base,
        "reward": tiny_reward(place / "reward", seed=2),
        "policy_stack": tiny_policy_stack(place / "policy_stack", base),
        "reward_stack": tiny_reward_stack(place / "reward_stack", base),
    }


@pytest.fixture
def policy(folders: dict[str, Path]) -> Policy:
    return load_policy(folders["policy"])


@pytest.fixture
def rm(folders: dict[str, Path]) -> RewardModel:
    return load_reward(folders["reward"])
