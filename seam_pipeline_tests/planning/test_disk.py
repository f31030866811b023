"""A grid of adapters against a grid of merged copies: real files at a small shape, LoRA's arithmetic at 7B."""

from pathlib import Path

import pytest

from seam_pipeline.experiment import BaseModelSettings, Lora, load_experiment
from seam_pipeline.models.stack import AdapterStack
from seam_pipeline.planning._size import lora_bytes, model_size
from seam_pipeline_tests.tiny import tiny_base


def test_an_adapter_takes_what_the_arithmetic_says(tmp_path: Path) -> None:
    base, lora = tiny_base(tmp_path / "base", layers=3, hidden=64, heads=4, kv_heads=4), Lora(r=4, alpha=8)
    stack = AdapterStack.from_base(base)
    stack.add_adapter("rl", lora)
    saved = stack.save_adapter("rl", tmp_path / "rl")
    size = model_size(BaseModelSettings(path=str(base)))
    assert size is not None
    written = (saved / "adapter_model.safetensors").stat().st_size
    header = 200 * 2 * 2 * size.layers  # names and places of the tensors
    assert lora_bytes(size, lora) < written < lora_bytes(size, lora) + header


def test_a_grid_at_7b_stays_under_one_percent_of_merged_copies() -> None:
    paper = load_experiment("paper")
    size = model_size(paper.base)
    assert size is not None
    assert (size.hidden, size.layers) == (4096, 32)
    sft, rm, rl = (lora_bytes(size, x.lora) for x in (paper.policy.sft, paper.reward.training, paper.rl.ppo))
    # Each run's folder also holds a copy of its policy's adapter; each reward model one of its policy's.
    ours = 10 * sft + 10 * (sft + rm) + 100 * (sft + rl)
    merged = (10 + 10 + 100) * 2 * size.parameters
    assert ours / merged == pytest.approx(0.0034, abs=0.0003)
