"""Stacked adapters: they add up, switch cheaply, train alone and save as plain PEFT."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, CohereConfig, CohereForCausalLM, Gemma2Config, Gemma2ForCausalLM

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Lora
from seam_pipeline.models._compat import project, trunk_of
from seam_pipeline.models.content import content_hash
from seam_pipeline.models.stack import AdapterStack, read_stack
from seam_pipeline_tests.tiny import LORA, tiny_base

IDS = torch.tensor([[1, 20, 30, 40, 50], [1, 60, 70, 80, 90]])


def two_adapters(folders: Path) -> AdapterStack:
    stack = AdapterStack.from_base(folders / "base")
    for name, folder in read_stack(folders / "reward").adapters:
        stack.load_adapter(name, folder)
    return stack


def logits(stack: AdapterStack) -> torch.Tensor:
    with torch.no_grad():
        return stack.lm_logits(stack.hidden(IDS))


def by_hand(folders: Path, names: list[str]) -> torch.Tensor:
    """Logits with alpha / r * B A added to the weights."""
    model = AutoModelForCausalLM.from_pretrained(folders / "base")
    for name in names:
        state = load_file(folders / "reward" / "adapters" / name / "adapter_model.safetensors")
        for key in state:
            if key.endswith("lora_A.weight"):
                layer = model.get_submodule(key.removeprefix("base_model.model.").removesuffix(".lora_A.weight"))
                layer.weight.data += LORA.alpha / LORA.r * state[key.replace("lora_A", "lora_B")] @ state[key]
    with torch.no_grad():
        return model(IDS).logits


@pytest.mark.parametrize("names", [[], ["00_sft"], ["01_rm"], ["00_sft", "01_rm"]])
def test_active_adapters_add_up(folders: Path, names: list[str]) -> None:
    stack = two_adapters(folders)
    with stack.using(*names):
        torch.testing.assert_close(logits(stack), by_hand(folders, names), atol=1e-4, rtol=1e-5)


def test_using_nests_and_restores_even_after_an_error(folders: Path) -> None:
    stack = two_adapters(folders)
    bare = logits(stack)
    with pytest.raises(ZeroDivisionError), stack.using("00_sft"):
        with stack.using("00_sft", "01_rm"):
            assert stack.active == ("00_sft", "01_rm")
        assert stack.active == ("00_sft",)
        assert not torch.allclose(logits(stack), bare)
        raise ZeroDivisionError
    assert stack.active == ()
    assert torch.equal(logits(stack), bare)
    with pytest.raises(SeamError, match="No adapter 'x'"):
        stack.use("x")


def test_only_the_chosen_adapter_gets_gradients_wherever_backward_runs(folders: Path) -> None:
    stack = two_adapters(folders)
    stack.add_adapter("rl", LORA, seed=1)
    trained = stack.train_only("rl")
    with stack.using("00_sft", "rl"):
        loss = stack.lm_logits(stack.hidden(IDS)).logsumexp(-1).sum()
    with stack.using("01_rm"):
        loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in trained)
    others = {id(p) for p in stack.model.parameters()} - {id(p) for p in trained}
    assert all(p.grad is None for p in stack.model.parameters() if id(p) in others)
    assert sum(p.requires_grad for p in stack.model.parameters()) == len(trained) == 8


def test_a_fresh_adapter_changes_nothing_and_depends_on_its_seed(folders: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    stack = AdapterStack.from_base(folders / "base")
    bare = logits(stack)
    for name, seed in (("one", 3), ("two", 3), ("three", 4)):
        stack.add_adapter(name, LORA, seed=seed)
        stack.save_adapter(name, tmp_path / name)
    with stack.using("one", "three"):
        torch.testing.assert_close(logits(stack), bare)
    assert content_hash(tmp_path / "one") == content_hash(tmp_path / "two") != content_hash(tmp_path / "three")
    assert torch.equal(torch.get_rng_state(), state)


def test_without_adapters_the_stack_is_the_base(folders: Path) -> None:
    stack = AdapterStack.from_base(folders / "base")
    torch.testing.assert_close(logits(stack), by_hand(folders, []))
    with stack.using():
        assert stack.names == stack.active == ()
    assert stack.train_only() == []


@pytest.mark.parametrize("names", [[], ["01_rm"], ["00_sft", "01_rm"]])
def test_merging_keeps_the_chosen_and_drops_the_others(folders: Path, names: list[str]) -> None:
    stack = two_adapters(folders)
    stack.merge(names)
    torch.testing.assert_close(logits(stack), by_hand(folders, names), atol=1e-4, rtol=1e-5)
    assert stack.names == stack.active == ()


def test_peft_alone_reads_a_saved_adapter(folders: Path) -> None:
    base = AutoModelForCausalLM.from_pretrained(folders / "base")
    model = PeftModel.from_pretrained(base, str(folders / "policy" / "adapters" / "00_sft"))
    with torch.no_grad():
        torch.testing.assert_close(model(IDS).logits, by_hand(folders, ["00_sft"]), atol=1e-4, rtol=1e-5)


def test_saving_and_loading_keeps_bytes(folders: Path, tmp_path: Path) -> None:
    stack = two_adapters(folders)
    for name, folder in read_stack(folders / "reward").adapters:
        assert content_hash(stack.save_adapter(name, tmp_path / name)) == content_hash(folder)


def test_frozen_adapters_have_no_dropout(folders: Path, tmp_path: Path) -> None:
    stack = AdapterStack.from_base(folders / "base")
    stack.add_adapter("wet", Lora(r=4, dropout=0.9), seed=0)
    for parameter in stack.parameters_of("wet"):
        parameter.data.normal_()
    folder = stack.save_adapter("wet", tmp_path / "wet")
    for trainable in (False, True):
        again = AdapterStack.from_base(folders / "base")
        again.load_adapter("dry", folder, trainable=trainable)
        again.use("dry")
        again.model.train()
        assert torch.equal(logits(again), logits(again)) is not trainable


def test_an_adapter_of_another_base_is_refused(folders: Path, tmp_path: Path) -> None:
    for name, shape in (("wide", {"hidden": 64}), ("deep", {"layers": 3}), ("flat", {"layers": 1})):
        stack = AdapterStack.from_base(tiny_base(tmp_path / name, **shape))
        with pytest.raises(SeamError, match="does not fit this base model"):
            stack.load_adapter("sft", folders / "policy" / "adapters" / "00_sft")


def test_unknown_layers_and_names_taken_are_refused(folders: Path) -> None:
    stack = two_adapters(folders)
    with pytest.raises(SeamError, match="already"):
        stack.add_adapter("00_sft", LORA)
    with pytest.raises(SeamError, match="target_modules"):
        stack.add_adapter("new", Lora(target_modules=("q_proj", "no_such_layer")))


@pytest.mark.parametrize(
    ("config_class", "model_class", "more"),
    [
        (Gemma2Config, Gemma2ForCausalLM, {"final_logit_softcapping": 0.5, "head_dim": 8}),
        (CohereConfig, CohereForCausalLM, {"logit_scale": 0.25}),
    ],
)
def test_projection_keeps_the_scalings_of_other_architectures(
    config_class: type, model_class: type, more: dict
) -> None:
    torch.manual_seed(0)
    sizes = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4)
    config = config_class(vocab_size=100, num_key_value_heads=2, initializer_range=0.3, **sizes, **more)
    model = model_class(config).eval()
    with torch.no_grad():
        hidden = trunk_of(model)(IDS).last_hidden_state
        torch.testing.assert_close(project(model, hidden), model(IDS).logits)
