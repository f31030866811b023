"""PPO learns: the reward rises in every seed, and the optimum under the KL penalty is the known one."""

import statistics

import pyarrow.parquet as pq
import pytest
import torch

from seam_pipeline.experiment import PPO, Lora
from seam_pipeline.models.stack import load_policy
from seam_pipeline.training.ppo import train_ppo
from seam_pipeline_tests.tiny import tiny_base, tiny_policy_stack
from seam_pipeline_tests.training.ppo_tools import PROMPTS

LORA = Lora(r=8, alpha=16, dropout=0, target_modules=("q_proj", "v_proj", "o_proj", "down_proj"))


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return tiny_policy_stack(root / "policy", tiny_base(root / "base"))


def vowel_share(instructions, responses):
    return torch.tensor([5 * sum(letter in "aeiou" for letter in text) / max(1, len(text)) for text in responses])


def has_vowel(instructions, responses):
    return torch.tensor([2.0 * any(letter in "aeiou" for letter in text) for text in responses])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_learned_reward_rises(policy, tmp_path, seed):
    settings = PPO(
        steps=20,
        batch_size=32,
        minibatch_size=16,
        epochs=2,
        learning_rate=2e-2,
        min_new_tokens=3,
        max_new_tokens=6,
        kl_coefficient=0.02,
        lora=LORA,
    )
    out = train_ppo(policy, policy, PROMPTS, settings, tmp_path / "out", seed, reward_fn=vowel_share)
    metrics = pq.read_table(out / "metrics.parquet").to_pydict()
    first, last = metrics["reward_mean"][:4], metrics["reward_mean"][-4:]
    error = (statistics.mean(std**2 / 32 for std in metrics["reward_std"]) * 2 / 4) ** 0.5
    assert statistics.mean(last) - statistics.mean(first) > 4 * error
    assert metrics["kl"][-1] > 1


def test_the_optimum_is_that_of_reward_less_kl(policy, tmp_path):
    """One prompt, one token: E[R] - beta KL can be computed, and its maximum over all last hidden states searched."""
    beta, loaded = 0.5, load_policy(policy)
    rewards = has_vowel([], [loaded.tokenizer.decode([i], skip_special_tokens=True).strip() for i in range(300)])
    reference = _log_distribution(policy)

    def objective(logp):
        return (logp.exp() * (rewards - beta * (logp - reference))).sum()

    best = _best(loaded, objective)
    settings = PPO(
        steps=32,
        batch_size=64,
        minibatch_size=64,
        epochs=2,
        learning_rate=1e-2,
        min_new_tokens=1,
        max_new_tokens=1,
        kl_coefficient=beta,
        kl_target=None,
        lora=LORA,
    )
    out = train_ppo(policy, policy, ["x"], settings, tmp_path / "out", 0, reward_fn=has_vowel)
    start, found = objective(reference).item(), objective(_log_distribution(out)).item()
    assert start + 0.7 * (best - start) < found < best + 0.01


def _log_distribution(folder):
    policy = load_policy(folder)
    with torch.no_grad():
        return policy.model(torch.tensor(policy.prompt_ids(["x"]))).logits[0, -1].log_softmax(-1)


def _best(policy, objective):
    with torch.no_grad():
        hidden = policy.model.model(torch.tensor(policy.prompt_ids(["x"]))).last_hidden_state[0, -1]
    hidden, project = hidden.clone().requires_grad_(), policy.model.lm_head.weight.detach()
    optimizer = torch.optim.Adam([hidden], lr=0.05)
    for _ in range(500):
        value = objective((project @ (hidden / hidden.pow(2).mean().sqrt())).log_softmax(-1))
        optimizer.zero_grad()
        (-value).backward()
        optimizer.step()
    return value.item()


def test_the_true_quality_is_measured_on_the_same_answers_and_not_trained_on(policy, tmp_path):
    settings = PPO(steps=3, batch_size=8, minibatch_size=8, epochs=1, min_new_tokens=3, max_new_tokens=6, lora=LORA)
    seen: list[dict] = []
    plain = train_ppo(policy, policy, PROMPTS, settings, tmp_path / "plain", 1, reward_fn=vowel_share)
    watched = train_ppo(
        policy, policy, PROMPTS, settings, tmp_path / "watched", 1,
        reward_fn=vowel_share, gold_fn=vowel_share, watch=lambda row: seen.append(dict(row)),
    )  # fmt: skip
    metrics = pq.read_table(watched / "metrics.parquet").to_pydict()
    assert metrics["gold_mean"] == metrics["reward_mean"] == [row["reward_mean"] for row in seen]
    assert "gold_mean" not in pq.read_table(plain / "metrics.parquet").column_names
    weights = [(out / "adapters" / "01_rl" / "adapter_model.safetensors").read_bytes() for out in (plain, watched)]
    assert weights[0] == weights[1]
