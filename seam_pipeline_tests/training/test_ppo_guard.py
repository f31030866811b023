"""What a run refuses, survives and says: divergence, full disks, odd models, precision."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import PPO
from seam_pipeline.models.stack import load_policy, read_stack
from seam_pipeline.training.ppo import train_ppo
from seam_pipeline_tests.tiny import LORA, tiny_base, tiny_policy_stack, tiny_reward_stack
from seam_pipeline_tests.training.ppo_tools import PROMPTS

SETTINGS = PPO(
    steps=4,
    batch_size=8,
    minibatch_size=8,
    epochs=2,
    learning_rate=3e-3,
    min_new_tokens=4,
    max_new_tokens=8,
    checkpoint_every=1,
    lora=LORA,
)


def with_settings(**changes):
    return SETTINGS.model_copy(update=changes)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    base = tiny_base(root / "base")
    return tiny_policy_stack(root / "policy", base), tiny_reward_stack(root / "reward", base)


def metrics(folder):
    return pq.read_table(folder / "metrics.parquet").to_pydict()


def adapter(folder):
    return load_file(folder / "adapters/01_rl/adapter_model.safetensors")


def equal(one, other):
    return all(torch.equal(one[key], other[key]) for key in one | other)


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_kl_explosion_stops_and_keeps_the_policy_before_it(models, tmp_path, interrupted):
    fast = with_settings(learning_rate=3e-2, steps=7)
    kl = metrics(train_ppo(*models, PROMPTS, fast, tmp_path / "free", 0))["kl"]
    place = next(t for t in range(2, 7) if kl[t] > 1.1 * max(kl[:t]))
    settings, out = fast.model_copy(update={"max_kl": 0.95 * kl[place]}), tmp_path / "out"

    def stop(done, total):
        if done == place:
            raise KeyboardInterrupt

    if interrupted:  # just before; what is continued must know the last good policy too
        with pytest.raises(KeyboardInterrupt):
            train_ppo(*models, PROMPTS, settings, out, 0, progress=stop)
    words = rf"diverged in step {place + 1} of 7: the policy is {kl[place]:.4g} nats per response from the reference"
    with pytest.raises(SeamError, match=words):
        train_ppo(*models, PROMPTS, settings, out, 0)
    assert not out.exists()
    before = fast.model_copy(update={"steps": place - 1})
    train_ppo(*models, PROMPTS, before, tmp_path / "before", 0)
    assert equal(adapter(tmp_path / "out.partial/last_good"), adapter(tmp_path / "before"))


def test_max_kl_can_be_off(models, tmp_path):
    out = train_ppo(*models, PROMPTS, with_settings(max_kl=None, steps=1), tmp_path / "out", 0)
    assert len(metrics(out)["kl"]) == 1


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(models, tmp_path):
    script = f"""
import resource
from pathlib import Path
from seam_pipeline.errors import SeamError
from seam_pipeline.training.ppo import train_ppo
from seam_pipeline_tests.training.test_ppo_guard import PROMPTS, SETTINGS
for kilobytes in (1, 6):
    resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, -1))
    try:
        train_ppo({str(models[0])!r}, {str(models[1])!r}, PROMPTS, SETTINGS, Path({str(tmp_path / "out")!r}), 0)
    except SeamError as error:
        print(error)
"""
    home = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], cwd=home, env=os.environ, check=False, capture_output=True)
    said = done.stdout.decode().strip().splitlines()
    assert len(said) == 2, done.stderr.decode()
    for sentence in said:
        assert sentence.startswith("Cannot write the checkpoint")
        assert "File too large" in sentence
        assert "free some space and run again" in sentence
    assert [place for place in tmp_path.rglob("*") if place.is_file()] == []
    assert len(metrics(train_ppo(*models, PROMPTS, SETTINGS, tmp_path / "out", 0))["kl"]) == 4


def test_a_full_disk_at_the_end_continues_from_the_checkpoint(models, tmp_path):
    out = tmp_path / "out"
    (tmp_path / ".out.new").write_text("in the way")  # a file where the folder should be: writing fails
    with pytest.raises(SeamError, match="Cannot write the outcome"):
        train_ppo(*models, PROMPTS, SETTINGS, out, 0)
    (tmp_path / ".out.new").unlink(missing_ok=True)
    steps = []
    train_ppo(*models, PROMPTS, SETTINGS, out, 0, progress=lambda done, total: steps.append(done))
    assert steps == [4]


def test_an_empty_prompt_is_refused(models, tmp_path):
    with pytest.raises(SeamError, match="1 of 3 prompts are empty, number 2 first"):
        train_ppo(*models, ["a", " \n", "b"], SETTINGS, tmp_path / "out", 0)


def test_a_base_without_a_pad_token(tmp_path):
    base = tiny_base(tmp_path / "base")
    config = json.loads((base / "tokenizer_config.json").read_text())
    config.pop("pad_token")
    (base / "tokenizer_config.json").write_text(json.dumps(config))
    reward = tiny_reward_stack(tmp_path / "reward", base)
    out = train_ppo(tiny_policy_stack(tmp_path / "policy", base), reward, PROMPTS, SETTINGS, tmp_path / "out", 0)
    assert load_policy(out).tokenizer.pad_token == "</s>"
    config.pop("eos_token")
    (base / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(SeamError, match="no end-of-text token"):
        train_ppo(tmp_path / "policy", reward, PROMPTS, SETTINGS, tmp_path / "out", 0)


def test_bfloat16_base_with_float32_adapter(models, tmp_path):
    settings = with_settings(dtype="bfloat16", gradient_checkpointing=True, steps=3)
    out = train_ppo(*models, PROMPTS, settings, tmp_path / "out", 0)
    found = metrics(out)
    assert all(weight.dtype == torch.float32 for weight in adapter(out).values())
    assert any(weight.abs().max() > 0 for key, weight in adapter(out).items() if "lora_B" in key)
    assert 1e-4 < found["logp_gap"][0] < 1
    exact = metrics(train_ppo(*models, PROMPTS, with_settings(steps=3), tmp_path / "exact", 0))
    assert exact["logp_gap"][0] < 1e-4
    assert read_stack(out).kind == "policy"


@pytest.mark.parametrize("dtype", ["4bit", "8bit"])
def test_quantised_bases_need_bitsandbytes(models, tmp_path, dtype):
    settings = with_settings(dtype=dtype, steps=2)
    if find_spec("bitsandbytes") is None:
        with pytest.raises(SeamError, match=f"{dtype} needs bitsandbytes"):
            train_ppo(*models, PROMPTS, settings, tmp_path / "out", 0)
        return
    out = train_ppo(*models, PROMPTS, settings, tmp_path / "out", 0)
    assert all(weight.dtype == torch.float32 for weight in adapter(out).values())
    assert metrics(out)["grad_norm"][0] > 0


def test_settings_of_rewards_reach_the_objective_and_not_the_reported_reward(models, tmp_path):
    changes = {"reward_whiten": "running", "reward_clip": 1.5, "missing_eos_penalty": 2.0, "kl_estimator": "k3"}
    plain = metrics(train_ppo(*models, PROMPTS, with_settings(steps=2), tmp_path / "plain", 0))
    shaped = metrics(train_ppo(*models, PROMPTS, with_settings(steps=2, **changes), tmp_path / "out", 0))
    assert shaped["reward_mean"][0] == plain["reward_mean"][0]
    assert plain["score_mean"] == pytest.approx(plain["reward_mean"])
    # a whitened batch has mean 0, but for the clip; every response that is cut costs 2
    assert shaped["score_mean"][0] == pytest.approx(-2 * (1 - shaped["ended_fraction"][0]), abs=0.3)
    assert shaped["kl"][0] == plain["kl"][0]
    assert not equal(adapter(tmp_path / "out"), adapter(tmp_path / "plain"))
