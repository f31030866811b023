"""Whole PPO runs: what is written, repeated, continued after a stop, and refused."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import PPO
from seam_pipeline.models.content import content_hash
from seam_pipeline.models.generate import generate
from seam_pipeline.models.stack import load_policy, read_stack
from seam_pipeline.training.ppo import train_ppo
from seam_pipeline_tests.tiny import LORA, tiny_base, tiny_policy_stack, tiny_reward, tiny_reward_stack
from seam_pipeline_tests.training.ppo_tools import PROMPTS

SETTINGS = PPO(
    steps=5,
    batch_size=8,
    minibatch_size=4,
    gradient_accumulation=2,
    epochs=2,
    learning_rate=3e-3,
    min_new_tokens=2,
    max_new_tokens=6,
    kl_horizon=50,
    checkpoint_every=2,
    lora=LORA.model_copy(update={"dropout": 0.1}),
)
METRICS = {
    "step",
    "episodes",
    "response_tokens",
    "reward_mean",
    "reward_std",
    "reward_min",
    "reward_max",
    "kl",
    "kl_k3",
    "kl_coefficient",
    "entropy",
    "policy_loss",
    "value_loss",
    "clip_fraction",
    "value_clip_fraction",
    "approx_kl",
    "grad_norm",
    "explained_variance",
    "value_mean",
    "return_mean",
    "prompt_length",
    "response_length",
    "response_length_max",
    "ended_fraction",
    "empty_fraction",
    "score_mean",
    "logp_gap",
    "updates",
    "kl_stop",
}


class StopError(Exception):
    pass


def stop_after(step):
    def progress(done, total):
        if done == step:
            raise StopError

    return progress


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    base = tiny_base(root / "base")
    return tiny_policy_stack(root / "policy", base), tiny_reward_stack(root / "reward", base), root


@pytest.fixture(scope="module")
def finished(models, tmp_path_factory):
    """The uninterrupted run, beside the models so that all stacks name their base alike."""
    return train_ppo(models[0], models[1], PROMPTS, SETTINGS, models[2] / "finished", 3)


def test_what_a_run_writes(models, finished):
    policy, _, _ = models
    assert {item.name for item in finished.iterdir()} == {
        "adapters",
        "stack.json",
        "value_head.safetensors",
        "metrics.parquet",
        "summary.json",
    }
    assert not finished.with_name("finished.partial").exists()
    stack = read_stack(finished)
    assert [name for name, _ in stack.adapters] == ["00_sft", "01_rl"]
    assert content_hash(finished / "adapters/00_sft") == content_hash(policy / "adapters/00_sft")
    metrics = pq.read_table(finished / "metrics.parquet")
    assert set(metrics.column_names) == METRICS
    assert metrics["step"].to_pylist() == [1, 2, 3, 4, 5]
    assert metrics["kl"].to_pylist()[0] == pytest.approx(0, abs=1e-4)
    assert metrics["kl"].to_pylist()[-1] != 0
    assert all(2 <= n <= 6 for n in metrics["response_length"].to_pylist())
    summary = json.loads((finished / "summary.json").read_text())
    assert (summary["episodes"], summary["prompts"], summary["prompts_too_long"], summary["seed"]) == (40, 4, 0, 3)
    assert len(generate(load_policy(finished), PROMPTS, max_new_tokens=4)) == 4


def test_equal_inputs_give_equal_bytes_and_another_seed_does_not(models, finished):
    policy, reward, root = models
    again = train_ppo(policy, reward, PROMPTS, SETTINGS, root / "again", 3)
    assert content_hash(again) == content_hash(finished)
    other = train_ppo(policy, reward, PROMPTS, SETTINGS, root / "again", 4)
    assert content_hash(other) != content_hash(finished)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_stopped_run_continues_to_the_same_bytes(models, finished, step):
    policy, reward, root = models
    out = root / f"stopped{step}"
    with pytest.raises(StopError):
        train_ppo(policy, reward, PROMPTS, SETTINGS, out, 3, progress=stop_after(step))
    assert not out.exists()
    steps = []
    train_ppo(policy, reward, PROMPTS, SETTINGS, out, 3, progress=lambda done, total: steps.append(done))
    assert steps == list(range(1 + step // 2 * 2, 6))
    assert content_hash(out) == content_hash(finished)
    assert not out.with_name(f"stopped{step}.partial").exists()


def test_a_killed_process_continues_to_the_same_bytes(models, finished, tmp_path):
    policy, reward, root = models
    out = root / "killed"
    script = f"""
import os, signal, torch
from seam_pipeline.training.ppo import train_ppo
from seam_pipeline_tests.training import test_ppo
torch.set_num_threads({torch.get_num_threads()})
def progress(done, total):
    if done == 3:
        os.kill(os.getpid(), signal.SIGKILL)
inputs = test_ppo.PROMPTS, test_ppo.SETTINGS, {str(out)!r}, 3
train_ppo({str(policy)!r}, {str(reward)!r}, *inputs, progress=progress)
"""
    home = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=home, env=os.environ, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    half_written = root / "killed.partial/checkpoint/.00000004"
    half_written.mkdir()
    steps = []
    train_ppo(policy, reward, PROMPTS, SETTINGS, out, 3, progress=lambda done, total: steps.append(done))
    assert steps == [3, 4, 5]
    assert content_hash(out) == content_hash(finished)


def test_a_checkpoint_of_another_run_is_not_continued(models):
    policy, reward, root = models
    out = root / "changed"
    with pytest.raises(StopError):
        train_ppo(policy, reward, PROMPTS, SETTINGS, out, 3, progress=stop_after(3))
    assert [place.name for place in (root / "changed.partial/checkpoint").iterdir()] == ["00000002"]
    steps = []
    changed = SETTINGS.model_copy(update={"learning_rate": 1e-3, "steps": 1})
    train_ppo(policy, reward, PROMPTS, changed, out, 3, progress=lambda done, total: steps.append(done))
    assert steps == [1]


def test_a_base_model_gets_its_first_adapter_and_foreign_rewards_are_loaded_beside(models, tmp_path):
    _, _, root = models
    settings = SETTINGS.model_copy(update={"steps": 1})
    out = train_ppo(root / "base", tiny_reward(tmp_path / "foreign"), PROMPTS, settings, tmp_path / "out", 0)
    assert [name for name, _ in read_stack(out).adapters] == ["00_rl"]


def test_long_prompts_are_left_out_and_counted(models, tmp_path):
    policy, reward, _ = models
    settings = SETTINGS.model_copy(update={"steps": 1, "max_prompt_tokens": 40})
    out = train_ppo(policy, reward, ["short", "long " * 30], settings, tmp_path / "out", 0)
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["prompts"], summary["prompts_too_long"]) == (1, 1)


@pytest.mark.parametrize(
    ("change", "prompts", "words"),
    [
        ({}, [], "no prompts"),
        ({"max_prompt_tokens": 3}, PROMPTS, "longer than 3 tokens"),
        ({"min_new_tokens": 1, "max_new_tokens": 256}, PROMPTS, "reads 256 tokens in all"),
    ],
)
def test_unusable_inputs_are_refused(models, tmp_path, change, prompts, words):
    policy, reward, _ = models
    with pytest.raises(SeamError, match=words):
        train_ppo(policy, reward, prompts, SETTINGS.model_copy(update=change), tmp_path / "out", 0)
    assert list(tmp_path.iterdir()) == []


def test_policy_and_reward_cannot_be_exchanged(models, tmp_path):
    policy, reward, _ = models
    with pytest.raises(SeamError, match="is a reward model"):
        train_ppo(reward, policy, PROMPTS, SETTINGS, tmp_path / "out", 0)
    with pytest.raises(SeamError, match="is a policy"):
        train_ppo(policy, policy, PROMPTS, SETTINGS, tmp_path / "out", 0)


def test_a_reward_that_is_not_finite_stops_and_keeps_the_last_good_policy(models, tmp_path):
    calls = []

    def reward(instructions, responses):
        calls.append(responses)
        return torch.tensor([float("nan") if len(calls) == 3 else 1.0 * len(text) for text in responses])

    with pytest.raises(SeamError, match=r"step 3 of 5: 8 of 8 rewards are not finite.*last_good"):
        train_ppo(models[0], models[1], PROMPTS, SETTINGS, tmp_path / "out", 0, reward_fn=reward)
    assert not (tmp_path / "out").exists()
    kept = load_policy(tmp_path / "out.partial/last_good")
    assert all(torch.isfinite(parameter).all() for parameter in kept.model.parameters())


def test_weights_that_explode_stop_and_are_not_kept(models, tmp_path):
    settings = SETTINGS.model_copy(update={"learning_rate": 1e30, "checkpoint_every": 50})
    with pytest.raises(SeamError, match="PPO diverged"):
        train_ppo(models[0], models[1], PROMPTS, settings, tmp_path / "out", 0)
    kept = load_policy(tmp_path / "out.partial/last_good")
    assert all(torch.isfinite(parameter).all() for parameter in kept.model.parameters())
    assert max(float(parameter.abs().max()) for parameter in kept.model.parameters()) < 100
