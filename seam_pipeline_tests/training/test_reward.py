"""Training a reward model on top of a tiny policy."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Lora, RewardTraining
from seam_pipeline.models.content import content_hash
from seam_pipeline.models.stack import load_reward, read_stack
from seam_pipeline.training.reward import train_reward
from seam_pipeline_tests.tiny import tiny_base, tiny_policy_stack

from .rows import preference_rows

PAIRS, DEV = preference_rows(64), preference_rows(24, seed=1)
FAST = RewardTraining(
    batch_size=16, epochs=4, learning_rate=0.02, max_length=128, lora=Lora(r=8, alpha=16, dropout=0.0)
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with base, policy and a trained reward."""
    root = tmp_path_factory.mktemp("reward")
    tiny_policy_stack(root / "policy", tiny_base(root / "base"))
    train_reward(root / "policy", PAIRS, DEV, 64, FAST, root / "reward", seed=1)
    return root


def margins(folder: Path, pairs) -> torch.Tensor:
    """R(chosen) - R(rejected), one text at a time."""
    reward = load_reward(folder)
    return torch.tensor(
        [
            reward.rewards([reward.token_ids(row["instruction"], row["chosen"])])[0]
            - reward.rewards([reward.token_ids(row["instruction"], row["rejected"])])[0]
            for row in pairs.to_pylist()
        ]
    )


def test_it_learns_and_reports_the_quality_of_the_saved_model(folders: Path) -> None:
    summary = json.loads((folders / "reward" / "summary.json").read_text())
    by_hand = margins(folders / "reward", DEV)
    assert summary["dev_loss"] == pytest.approx(-torch.nn.functional.logsigmoid(by_hand).mean().item(), abs=1e-4)
    assert summary["dev_accuracy"] == pytest.approx((by_hand > 0).double().mean().item())
    assert summary["dev_accuracy"] > 0.9
    assert (summary["examples"], summary["steps"], summary["examples_seen"]) == (64, 16, 256)


def test_the_folder_is_complete_and_has_no_pickle(folders: Path) -> None:
    out = folders / "reward"
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    adapters = {f"adapters/{a}/adapter_{f}" for a in ("00_sft", "01_rm") for f in ("config.json", "model.safetensors")}
    assert files == adapters | {"head.safetensors", "metrics.parquet", "stack.json", "summary.json"}
    stack = read_stack(out)
    assert (stack.kind, stack.append_eos, [name for name, _ in stack.adapters]) == ("reward", True, ["00_sft", "01_rm"])
    assert Path(stack.base.path).resolve() == (folders / "base").resolve()
    copied = content_hash(out / "adapters" / "00_sft")
    assert copied == content_hash(folders / "policy" / "adapters" / "00_sft")


def test_metrics_have_one_row_per_step(folders: Path) -> None:
    metrics = pq.read_table(folders / "reward" / "metrics.parquet").to_pydict()
    assert metrics["step"] == list(range(1, 17))
    assert all(0 <= value <= 1 for value in metrics["accuracy"])
    assert metrics["margin"][-1] > metrics["margin"][0]
    assert metrics["learning_rate"][0] == pytest.approx(0.02)
    assert metrics["learning_rate"][-1] == pytest.approx(0.02 / 16)


def test_the_first_loss_is_that_of_the_random_head(folders: Path, tmp_path: Path) -> None:
    settings = FAST.model_copy(update={"epochs": 1, "batch_size": 64, "lora": Lora(dropout=0.0)})
    train_reward(folders / "policy", PAIRS, DEV, 64, settings, tmp_path / "one", seed=3)
    train_reward(folders / "policy", PAIRS, DEV, 0, settings, tmp_path / "zero", seed=3)
    expected = -torch.nn.functional.logsigmoid(margins(tmp_path / "zero", PAIRS)).mean().item()
    assert pq.read_table(tmp_path / "one" / "metrics.parquet")["loss"].to_pylist() == [
        pytest.approx(expected, abs=1e-4)
    ]


@pytest.mark.parametrize("pad", ["<pad>", "</s>"])
def test_the_reward_is_read_at_the_end_token_even_when_it_is_the_padding(
    folders: Path, tmp_path: Path, pad: str
) -> None:
    base = tiny_base(tmp_path / "base")
    config = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps(config | {"pad_token": pad}))
    policy = tiny_policy_stack(tmp_path / "policy", base)
    train_reward(policy, PAIRS, DEV, 64, FAST, tmp_path / "reward", seed=1)
    assert content_hash(tmp_path / "reward" / "head.safetensors") == content_hash(
        folders / "reward" / "head.safetensors"
    )


def test_equal_seeds_give_equal_bytes_and_progress_is_told(folders: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    torch.manual_seed(99)
    train_reward(folders / "policy", PAIRS, DEV, 64, FAST, tmp_path / "a", 1, progress=lambda *step: seen.append(step))
    for name in ("adapters", "head.safetensors", "metrics.parquet", "summary.json"):
        assert content_hash(tmp_path / "a" / name) == content_hash(folders / "reward" / name)
    assert seen[-1] == (16, 16)
    train_reward(folders / "policy", PAIRS, DEV, 64, FAST, tmp_path / "b", 2)
    assert content_hash(tmp_path / "b" / "head.safetensors") != content_hash(tmp_path / "a" / "head.safetensors")


def test_rank_zero_is_a_random_head_on_the_policy(folders: Path, tmp_path: Path) -> None:
    summary = train_reward(folders / "policy", PAIRS, DEV, 0, FAST, tmp_path / "zero", seed=5)
    assert [name for name, _ in read_stack(tmp_path / "zero").adapters] == ["00_sft"]
    head = load_file(tmp_path / "zero" / "head.safetensors")["score.weight"]
    assert head.shape == (1, 32)
    assert head.std().item() == pytest.approx(33**-0.5, rel=0.4)
    assert (summary["steps"], summary["train_loss"]) == (0, None)
    assert summary["dev_loss"] is not None
    train_reward(folders / "policy", PAIRS, DEV, 0, FAST, tmp_path / "other", seed=6)
    assert not torch.equal(load_file(tmp_path / "other" / "head.safetensors")["score.weight"], head)


def test_a_base_without_adapters_carries_a_reward_model(folders: Path, tmp_path: Path) -> None:
    short = FAST.model_copy(update={"epochs": 1})
    train_reward(folders / "base", PAIRS, DEV, 16, short, tmp_path, seed=0)
    assert [name for name, _ in read_stack(tmp_path).adapters] == ["01_rm"]
    assert margins(tmp_path, DEV).isfinite().all()


def test_bad_input_is_refused(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(SeamError, match="65 preference pairs are wanted, but there are 64; lower reward.ranks"):
        train_reward(folders / "policy", PAIRS, DEV, 65, FAST, tmp_path, seed=0)
    with pytest.raises(SeamError, match="starts from a policy"):
        train_reward(folders / "reward", PAIRS, DEV, 64, FAST, tmp_path, seed=0)
    with pytest.raises(SeamError, match="None of 64 preference pairs differ"):
        train_reward(folders / "policy", PAIRS, DEV, 64, FAST.model_copy(update={"max_length": 16}), tmp_path, seed=0)


def test_training_prints_nothing_and_leaves_no_folder(
    folders: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train_reward(folders / "policy", PAIRS, DEV, 16, FAST.model_copy(update={"epochs": 1}), tmp_path / "out", seed=0)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_dropout_is_that_of_the_setting(folders: Path, tmp_path: Path) -> None:
    for name, dropout in (("none", 0.0), ("some", 0.5)):
        settings = FAST.model_copy(update={"epochs": 1, "lora": Lora(r=8, alpha=16, dropout=dropout)})
        train_reward(folders / "policy", PAIRS, DEV, 64, settings, tmp_path / name, seed=3)
    losses = [pq.read_table(tmp_path / name / "metrics.parquet")["loss"].to_pylist() for name in ("none", "some")]
    assert losses[0][1:] != losses[1][1:]


def test_training_ends_when_the_dev_loss_no_longer_falls_and_keeps_the_best(folders: Path, tmp_path: Path) -> None:
    hot = FAST.model_copy(update={"epochs": 8, "learning_rate": 0.3, "eval_every": 2, "patience": 3})
    summary = train_reward(folders / "policy", PAIRS, DEV, 64, hot, tmp_path / "early", seed=1)
    metrics = pq.read_table(tmp_path / "early" / "metrics.parquet").to_pydict()
    measured = {step: loss for step, loss in zip(metrics["step"], metrics["dev_loss"], strict=True) if loss is not None}
    assert summary["steps_planned"] == 32
    assert summary["steps"] == summary["best_step"] + 6 < 32
    assert min(measured.values()) == measured[summary["best_step"]] == pytest.approx(summary["dev_loss"], abs=1e-6)
    by_hand = margins(tmp_path / "early", DEV)
    assert summary["dev_loss"] == pytest.approx(-torch.nn.functional.logsigmoid(by_hand).mean().item(), abs=1e-4)


def test_early_stopping_without_dev_pairs_is_refused(folders: Path, tmp_path: Path) -> None:
    settings = FAST.model_copy(update={"eval_every": 2})
    with pytest.raises(SeamError, match="eval_every needs dev pairs"):
        train_reward(folders / "policy", PAIRS, DEV.slice(0, 0), 64, settings, tmp_path / "out", seed=1)
    assert not list(tmp_path.iterdir())
