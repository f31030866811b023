"""RLOO, GRPO and DPO on tiny policies: they learn, their adapters stack, and a kill changes nothing."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import DPO, GroupRL, Lora
from seam_pipeline.models.content import content_hash
from seam_pipeline.models.stack import load_policy, read_stack
from seam_pipeline.training.dpo import train_dpo
from seam_pipeline.training.group import train_group
from seam_pipeline_tests.tiny import tiny_base, tiny_policy_stack
from seam_pipeline_tests.training.ppo_tools import PROMPTS

from .rows import preference_rows

LORA = Lora(r=8, alpha=16, dropout=0, target_modules=("q_proj", "v_proj", "o_proj", "down_proj"))
GROUP = GroupRL(
    steps=12, batch_size=32, generations=8, learning_rate=2e-2, kl_coefficient=0.02, max_new_tokens=6,
    checkpoint_every=4, lora=LORA,
)  # fmt: skip
PAIRS = preference_rows(64)
TUNE = DPO(epochs=3, batch_size=16, learning_rate=5e-3, max_length=96, checkpoint_every=2, lora=LORA)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    return tiny_policy_stack(root / "policy", tiny_base(root / "base"))


def vowel_share(instructions, responses):
    return torch.tensor([5 * sum(letter in "aeiou" for letter in text) / max(1, len(text)) for text in responses])


def group(policy: Path, out: Path, algorithm="rloo", progress=lambda done, total: None, **more):
    settings = GROUP.model_copy(update=more)
    return train_group(algorithm, policy, policy, PROMPTS, settings, out, 1, progress=progress, reward_fn=vowel_share)


def dpo(policy: Path, out: Path, progress=lambda done, total: None):
    return train_dpo(policy, PAIRS, TUNE, out, 1, progress=progress)


@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_the_learned_reward_rises_and_the_adapter_stacks(policy: Path, tmp_path: Path, algorithm: str) -> None:
    summary = group(policy, tmp_path / "out", algorithm)
    metrics = pq.read_table(tmp_path / "out" / "metrics.parquet").to_pydict()
    assert sum(metrics["reward_mean"][-3:]) / 3 > sum(metrics["reward_mean"][:3]) / 3 + 0.2
    assert metrics["step"] == list(range(1, 13))
    assert (metrics["kl"][0], metrics["episodes"][-1]) == (pytest.approx(0, abs=1e-4), 12 * 32)
    assert metrics["kl"][-1] > 0.1
    assert summary["algorithm"] == algorithm
    stack = read_stack(tmp_path / "out")
    assert [name for name, _ in stack.adapters] == ["00_sft", f"01_{algorithm}"]
    ours = load_policy(tmp_path / "out").model
    base = AutoModelForCausalLM.from_pretrained(policy.parent / "base")
    below = PeftModel.from_pretrained(base, policy / "adapters" / "00_sft").merge_and_unload()
    theirs = PeftModel.from_pretrained(below, tmp_path / "out" / "adapters" / f"01_{algorithm}")
    ids = torch.tensor([[1, 50, 60, 70]])
    with torch.no_grad():
        assert torch.allclose(ours(input_ids=ids).logits, theirs(input_ids=ids).logits, atol=1e-4)


def test_dpo_prefers_the_chosen_ones(policy: Path, tmp_path: Path) -> None:
    summary = dpo(policy, tmp_path / "out")
    metrics = pq.read_table(tmp_path / "out" / "metrics.parquet").to_pydict()
    assert metrics["loss"][0] == pytest.approx(0.6931, abs=1e-3)
    assert metrics["accuracy"][-1] > 0.9
    assert (summary["pairs"], summary["steps"], summary["pairs_seen"]) == (64, 12, 192)
    margin = _margin(load_policy(tmp_path / "out")) - _margin(load_policy(policy))
    assert margin > 1


def _margin(policy) -> float:
    """log P(chosen) - log P(rejected) of the first pair."""
    row = PAIRS.to_pylist()[0]
    sums = []
    for side in ("chosen", "rejected"):
        prompt, response = policy.token_ids(row["instruction"], row[side])
        with torch.no_grad():
            logp = policy.model(torch.tensor([prompt + response])).logits[0].log_softmax(-1)
        sums.append(sum(logp[len(prompt) + i - 1, token].item() for i, token in enumerate(response)))
    return sums[0] - sums[1]


KILLED = """
import os, signal, sys
from pathlib import Path
from seam_pipeline_tests.training import test_group_and_dpo as tests

def die(done, total):
    if done == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)

more = {"epochs": 2} if sys.argv[1] == "group" else {}
getattr(tests, sys.argv[1])(Path(sys.argv[2]), Path(sys.argv[3]), progress=die, **more)
"""


@pytest.mark.parametrize(("kind", "at", "kept"), [("group", 7, 4), ("dpo", 8, 6)])
def test_a_killed_run_ends_in_the_same_bytes(policy: Path, tmp_path: Path, kind: str, at: int, kept: int) -> None:
    def train(out: Path, progress=lambda done, total: None):
        return group(policy, out, progress=progress, epochs=2) if kind == "group" else dpo(policy, out, progress)

    train(tmp_path / "whole")
    arguments = [kind, str(policy), str(tmp_path / "killed"), str(at)]
    died = subprocess.run([sys.executable, "-c", KILLED, *arguments], capture_output=True, check=False)
    assert died.returncode == -9, died.stderr.decode()[-2000:]
    assert [place.name for place in (tmp_path / "killed.partial").iterdir()] == [f"{kept:08d}"]
    seen: list[int] = []
    train(tmp_path / "killed", lambda done, total: seen.append(done))
    assert seen[0] == kept + 1
    for name in ("adapters", "metrics.parquet", "summary.json"):
        assert content_hash(tmp_path / "killed" / name) == content_hash(tmp_path / "whole" / name), name


def test_unusable_input_is_one_sentence(policy: Path, tmp_path: Path) -> None:
    with pytest.raises(SeamError, match="4 prompts are too few for 16 in a batch"):
        group(policy, tmp_path / "out", batch_size=128)
    with pytest.raises(SeamError, match="rl.ppo.max_prompt_tokens|longer than 2 tokens"):
        group(policy, tmp_path / "out", max_prompt_tokens=2)
    same = PAIRS.set_column(PAIRS.column_names.index("rejected"), "rejected", PAIRS["chosen"])
    with pytest.raises(SeamError, match="None of 64 preference pairs differ"):
        train_dpo(policy, same, TUNE, tmp_path / "out", 1)
    broken = lambda instructions, responses: torch.full((len(responses),), float("nan"))  # noqa: E731
    with pytest.raises(SeamError, match="32 of 32 rewards are not finite"):
        train_group("rloo", policy, policy, PROMPTS, GROUP, tmp_path / "out", 1, reward_fn=broken)
    assert list(tmp_path.iterdir()) == []


def test_the_summary_holds_no_time(policy: Path, tmp_path: Path) -> None:
    group(policy, tmp_path / "a", steps=2)
    group(policy, tmp_path / "b", steps=2)
    assert content_hash(tmp_path / "a") == content_hash(tmp_path / "b")
    assert json.loads((tmp_path / "a" / "summary.json").read_text())["adapter"] == "01_rloo"
