"""Fine-tuning a policy on a tiny base."""

import json
import math
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import SFT, Lora
from seam_pipeline.models.content import content_hash
from seam_pipeline.models.stack import AdapterStack, load_policy, read_stack
from seam_pipeline.training.sft import train_policy
from seam_pipeline_tests.tiny import tiny_base

from .rows import sft_rows

ROWS, DEV = sft_rows(64), sft_rows(20, seed=1)
FAST = SFT(batch_size=16, epochs=6, learning_rate=0.02, warmup_steps=2, max_length=128, lora=Lora(r=8, alpha=32))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def policy(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("trained") / "policy"
    train_policy(base, ROWS, DEV, 64, FAST, out, seed=1)
    return out


def loss_by_hand(folder: Path, rows) -> float:
    """Mean nats per response token, one example at a time."""
    policy = load_policy(folder)
    total, count = 0.0, 0
    for row in rows.to_pylist():
        prompt, response = policy.token_ids(row["instruction"], row["golden_response"])
        with torch.no_grad():
            logp = policy.model(torch.tensor([prompt + response])).logits[0].log_softmax(-1)
        total -= sum(logp[len(prompt) + i - 1, token].item() for i, token in enumerate(response))
        count += len(response)
    return total / count


def test_it_learns_and_reports_the_loss_of_the_saved_model(base: Path, policy: Path) -> None:
    summary = json.loads((policy / "summary.json").read_text())
    assert summary["dev_loss"] == pytest.approx(loss_by_hand(policy, DEV), abs=1e-4)
    assert summary["dev_loss"] < 0.7 * loss_by_hand(base, DEV)
    assert {k: summary[k] for k in ("examples", "examples_seen", "steps", "examples_cut", "dev_examples", "seed")} == {
        "examples": 64,
        "examples_seen": 384,
        "steps": 24,
        "examples_cut": 0,
        "dev_examples": 20,
        "seed": 1,
    }


def test_the_folder_holds_one_plain_adapter_and_nothing_else(base: Path, policy: Path) -> None:
    files = sorted(path.relative_to(policy).as_posix() for path in policy.rglob("*") if path.is_file())
    adapter = ["adapters/00_sft/adapter_config.json", "adapters/00_sft/adapter_model.safetensors"]
    assert files == [*adapter, "metrics.parquet", "stack.json", "summary.json"]
    assert Path(read_stack(policy).base.path).resolve() == base.resolve()


def test_metrics_have_one_row_per_step(policy: Path) -> None:
    metrics = pq.read_table(policy / "metrics.parquet").to_pydict()
    assert metrics["step"] == list(range(1, 25))
    assert all(math.isfinite(value) for name in ("loss", "grad_norm", "learning_rate") for value in metrics[name])
    assert metrics["learning_rate"][0] < max(metrics["learning_rate"]) <= 0.02
    assert metrics["loss"][0] == pytest.approx(5.5, abs=1.5)


def test_equal_seeds_give_equal_bytes_and_progress_is_told(base: Path, policy: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    torch.manual_seed(99)
    train_policy(base, ROWS, DEV, 64, FAST, tmp_path / "again", 1, progress=lambda *step: seen.append(step))
    for name in ("adapters", "metrics.parquet", "summary.json"):
        assert content_hash(tmp_path / "again" / name) == content_hash(policy / name)
    assert seen == [(step, 24) for step in range(1, 25)]


def test_the_seed_decides_the_adapters_start_and_the_order_of_the_rows(base: Path, tmp_path: Path) -> None:
    still = FAST.model_copy(update={"epochs": 1, "learning_rate": 1e-12, "lora": Lora(dropout=0.0)})
    starts, losses = [], []
    for seed in (1, 2):
        train_policy(base, ROWS, DEV, 64, still, tmp_path, seed)
        weights = load_file(tmp_path / "adapters" / "00_sft" / "adapter_model.safetensors")
        starts.append(next(value for key, value in weights.items() if "lora_A" in key))
        losses.append(pq.read_table(tmp_path / "metrics.parquet")["loss"][0].as_py())
    assert not torch.allclose(*starts, atol=1e-3)
    assert losses[0] != losses[1]


def test_the_loss_is_on_the_response_only(base: Path, tmp_path: Path) -> None:
    one = FAST.model_copy(update={"epochs": 1, "batch_size": 64, "lora": Lora(dropout=0.0)})
    train_policy(base, ROWS, DEV.slice(0, 0), 64, one, tmp_path, seed=0)
    metrics = pq.read_table(tmp_path / "metrics.parquet").to_pydict()
    assert metrics["loss"] == [pytest.approx(loss_by_hand(base, ROWS), abs=1e-3)]
    assert json.loads((tmp_path / "summary.json").read_text())["dev_loss"] is None


def test_accumulated_micro_batches_are_the_same_training(base: Path, tmp_path: Path) -> None:
    dry = FAST.model_copy(update={"epochs": 1, "batch_size": 32, "lora": Lora(dropout=0.0)})
    for parts in (1, 4):
        settings = dry.model_copy(update={"gradient_accumulation": parts})
        train_policy(base, ROWS.slice(0, 32), DEV, 32, settings, tmp_path / str(parts), seed=0)
    losses = [pq.read_table(tmp_path / name / "metrics.parquet")["loss"].to_pylist() for name in ("1", "4")]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_rank_zero_is_the_base_without_an_adapter(base: Path, tmp_path: Path) -> None:
    summary = train_policy(base, ROWS, DEV, 0, FAST, tmp_path, seed=0)
    assert read_stack(tmp_path).adapters == ()
    assert (summary["steps"], summary["examples"], summary["train_loss"]) == (0, 0, None)
    assert summary["dev_loss"] == pytest.approx(loss_by_hand(base, DEV), abs=1e-4)
    assert pq.read_table(tmp_path / "metrics.parquet").num_rows == 0


def test_small_ranks_repeat_until_min_steps_and_steps_can_be_the_unit(base: Path, tmp_path: Path) -> None:
    few = FAST.model_copy(update={"epochs": 1, "min_steps": 5})
    summary = train_policy(base, ROWS, DEV, 20, few, tmp_path / "few", seed=0)
    assert (summary["steps"], summary["examples"], summary["examples_seen"]) == (5, 20, 56)
    steps = FAST.model_copy(update={"unit": "steps"})
    summary = train_policy(base, ROWS, DEV, 3, steps, tmp_path / "steps", seed=0)
    assert (summary["steps"], summary["examples"], summary["examples_seen"]) == (3, 64, 48)


def test_retraining_leaves_nothing_of_the_earlier_model(base: Path, tmp_path: Path) -> None:
    short = FAST.model_copy(update={"epochs": 1})
    train_policy(base, ROWS, DEV, 16, short, tmp_path, seed=0)
    train_policy(base, ROWS, DEV, 0, short, tmp_path, seed=0)
    assert not (tmp_path / "adapters").exists()


def test_too_few_rows_and_divergence_are_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(SeamError, match="65 SFT examples are wanted, but there are 64"):
        train_policy(base, ROWS, DEV, 65, FAST, tmp_path, seed=0)
    with pytest.raises(SeamError, match="no SFT examples"):
        train_policy(base, ROWS.slice(0, 0), DEV, 3, FAST.model_copy(update={"unit": "steps"}), tmp_path, seed=0)
    wild = FAST.model_copy(update={"learning_rate": 1e38, "warmup_steps": 0})
    with pytest.raises(SeamError, match="lower the learning rate"):
        train_policy(base, ROWS, DEV, 64, wild, tmp_path, seed=0)
    assert not (tmp_path / "stack.json").exists()


def test_training_prints_nothing_and_leaves_no_folder(
    base: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train_policy(base, ROWS, DEV, 16, FAST.model_copy(update={"epochs": 1}), tmp_path / "out", seed=0)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_base_stays_as_it_was(base: Path, policy: Path) -> None:
    stack = AdapterStack.from_base(base)
    stack.load_adapter("sft", policy / "adapters" / "00_sft")
    ids = torch.tensor([[1, 20, 30]])
    with torch.no_grad():
        torch.testing.assert_close(stack.lm_logits(stack.hidden(ids)), load_policy(base).model(ids).logits)
