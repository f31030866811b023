"""Tiny models shared by the tests of this folder."""

from pathlib import Path

import pytest

from seam_pipeline_tests.tiny import tiny_base, tiny_policy_stack, tiny_reward, tiny_reward_stack


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with base, policy, reward (our stack) and classifier (plain Hugging Face)."""
    root = tmp_path_factory.mktemp("models")
    base = tiny_base(root / "base")
    tiny_policy_stack(root / "policy", base)
    tiny_reward_stack(root / "reward", base)
    tiny_reward(root / "classifier")
    return root
