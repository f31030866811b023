"""Merged copies give what the stack gives."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from seam_pipeline.cli import main
from seam_pipeline.errors import SeamError
from seam_pipeline.models.export import export
from seam_pipeline.models.stack import load_policy, load_reward

from ..tiny import tiny_base, tiny_policy_stack, tiny_reward_stack

IDS = torch.tensor([[1, 50, 60, 70, 80, 90]])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("export")
    base = tiny_base(root / "base")
    tiny_policy_stack(root / "policy", base)
    tiny_reward_stack(root / "reward", base)
    return root


def test_a_policy_becomes_a_plain_model_with_the_same_logits(models: Path, tmp_path: Path) -> None:
    found = export(models / "policy", tmp_path / "merged")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    stack, base = load_policy(models / "policy"), load_policy(models / "base")
    with torch.no_grad():
        ours, theirs, bare = (model(input_ids=IDS).logits for model in (merged, stack.model, base.model))
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert not torch.allclose(ours, bare, atol=1e-2)
    assert found["largest_difference"] < 1e-4
    assert found["adapters"] == ["00_sft"]
    assert not (tmp_path / "merged" / "adapter_config.json").exists()


def test_a_reward_model_keeps_its_head_and_its_end_token(models: Path, tmp_path: Path) -> None:
    export(models / "reward", tmp_path / "merged")
    merged, stack = load_reward(tmp_path / "merged"), load_reward(models / "reward")
    pairs = [("how do I brew", "boil the wort"), ("and then", "cool it")]
    assert merged.append_eos is True
    assert merged.rewards(merged.encode(pairs)) == pytest.approx(stack.rewards(stack.encode(pairs)), abs=1e-4)


def test_what_cannot_be_exported_is_said_in_one_sentence(models: Path, tmp_path: Path) -> None:
    with pytest.raises(SeamError, match=r"base is no model folder of a study"):
        export(models / "base", tmp_path / "merged")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(SeamError, match="is not empty"):
        export(models / "policy", tmp_path / "full")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_copy_with_other_logits_is_not_kept(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = AutoModelForCausalLM.from_pretrained

    def damaged(folder, **options):
        if "merged" in str(folder):
            weights = load_file(Path(folder) / "model.safetensors")
            weights["model.norm.weight"] *= 1.5
            save_file(weights, Path(folder) / "model.safetensors", metadata={"format": "pt"})
        return real(folder, **options)

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", damaged)
    with pytest.raises(SeamError, match="nothing was written"):
        export(models / "policy", tmp_path / "merged")
    assert list(tmp_path.iterdir()) == []


def test_the_command(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["export", str(models / "policy"), "--out", str(tmp_path / "merged")])
    assert "policy, 00_sft on" in capsys.readouterr().out
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]
    with pytest.raises(SystemExit) as stopped:
        main(["export", str(models / "nowhere"), "--out", str(tmp_path / "other")])
    assert stopped.value.code == 2
    assert "No model folder" in capsys.readouterr().err
