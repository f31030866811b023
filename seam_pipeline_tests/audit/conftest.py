from pathlib import Path

import pytest

from ..tiny import tiny_base, tiny_reward


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A plain policy and reward model, and another policy."""
    place = tmp_path_factory.mktemp("models")
    return {
        "policy": tiny_base(place / "policy", seed=1),
        "other": tiny_base(place / "other", seed=5),
        "reward": tiny_reward(place / "reward", seed=2),
    }
