"""SFT and reward training killed with SIGKILL and called again: the bytes of the uninterrupted run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seam_pipeline.experiment import SFT, Lora, RewardTraining
from seam_pipeline.models.content import content_hash
from seam_pipeline.training.reward import train_reward
from seam_pipeline.training.sft import train_policy
from seam_pipeline_tests.tiny import tiny_base, tiny_policy_stack

from .rows import preference_rows, sft_rows

LORA = Lora(r=4, alpha=8, dropout=0.1)
TUNE = SFT(
    batch_size=8, gradient_accumulation=2, epochs=4, learning_rate=0.01, max_length=96, checkpoint_every=3, lora=LORA
)
REWARD = RewardTraining(
    batch_size=8, epochs=4, learning_rate=0.01, max_length=96, checkpoint_every=3, eval_every=2, lora=LORA
)


def tune(root: Path, out: str, progress=lambda done, total: None):
    return train_policy(root / "base", sft_rows(36), sft_rows(8, seed=1), 36, TUNE, root / out, 1, progress=progress)


def reward(root: Path, out: str, progress=lambda done, total: None):
    pairs, dev = preference_rows(36), preference_rows(8, seed=1)
    return train_reward(root / "policy", pairs, dev, 36, REWARD, root / out, 1, progress=progress)


KILLED = """
import os, signal, sys
from pathlib import Path
from seam_pipeline_tests.training import test_resume

def die(done, total):
    if done == int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

getattr(test_resume, sys.argv[1])(Path(sys.argv[2]), "killed", die)
"""


@pytest.mark.parametrize(("kind", "at"), [("tune", 8), ("reward", 16)])
def test_a_killed_training_ends_in_the_same_bytes(tmp_path: Path, kind: str, at: int) -> None:
    tiny_policy_stack(tmp_path / "policy", tiny_base(tmp_path / "base"))
    train = {"tune": tune, "reward": reward}[kind]
    whole = train(tmp_path, "whole")
    died = subprocess.run(
        [sys.executable, "-c", KILLED, kind, str(tmp_path), str(at)], capture_output=True, check=False
    )
    assert died.returncode == -9, died.stderr.decode()[-2000:]
    partial = tmp_path / "killed.partial"
    assert not (tmp_path / "killed").exists()
    assert [place.name for place in partial.iterdir()] == [f"{at - 1 - (at - 1) % 3:08d}"]
    assert not [file for file in partial.rglob("*") if file.suffix in (".bin", ".pt", ".pth", ".pkl")]
    (partial / ".00000011").mkdir()
    seen: list[int] = []
    again = train(tmp_path, "killed", lambda done, total: seen.append(done))
    assert seen[0] == at - (at - 1) % 3
    assert again == whole
    assert content_hash(tmp_path / "killed") == content_hash(tmp_path / "whole")
    assert not partial.exists()


def test_a_checkpoint_of_other_settings_is_not_continued(tmp_path: Path) -> None:
    tiny_policy_stack(tmp_path / "policy", tiny_base(tmp_path / "base"))

    def stop(done: int, total: int) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(tmp_path, "out", stop)
    shutil.copytree(tmp_path / "out.partial", tmp_path / "other.partial")
    seen: list[int] = []
    slower = TUNE.model_copy(update={"learning_rate": 0.001})
    rows, dev = sft_rows(36), sft_rows(8, seed=1)
    train_policy(tmp_path / "base", rows, dev, 36, slower, tmp_path / "other", 1, progress=lambda d, t: seen.append(d))
    assert seen[0] == 1
