"""Every kind of model folder loads whole, or is refused with one sentence."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from seam_pipeline.errors import SeamError
from seam_pipeline.models.stack import AdapterStack, load_policy, load_reward, load_tokenizer, read_stack, relink
from seam_pipeline_tests.tiny import tiny_base

IDS = torch.tensor([[1, 20, 30, 40, 50]])


def logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        return load_policy(folder).model(IDS).logits


def edit(file: Path, **fields: object) -> None:
    known = json.loads(file.read_text())
    known.update(fields)
    file.write_text(json.dumps({key: value for key, value in known.items() if value is not None}))


def test_a_merged_policy_equals_the_stack(folders: Path) -> None:
    stack = AdapterStack.from_base(folders / "base")
    stack.load_adapter("sft", folders / "policy" / "adapters" / "00_sft")
    with torch.no_grad(), stack.using("sft"):
        expected = stack.lm_logits(stack.hidden(IDS))
    torch.testing.assert_close(logits(folders / "policy"), expected, atol=1e-5, rtol=1e-5)
    assert not any("lora" in name for name, _ in load_policy(folders / "policy").model.named_parameters())


def test_loading_changes_no_file(folders: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in folders.rglob("*")}
    load_policy(folders / "policy")
    load_reward(folders / "reward")
    assert times == {path: path.stat().st_mtime_ns for path in folders.rglob("*")}


def test_a_merged_reward_model_equals_the_stack(folders: Path) -> None:
    reward = load_reward(folders / "reward")
    stack = AdapterStack.from_base(folders / "base")
    for name, folder in read_stack(folders / "reward").adapters:
        stack.load_adapter(name, folder)
    head = load_file(folders / "reward" / "head.safetensors")["score.weight"]
    with torch.no_grad(), stack.using("00_sft", "01_rm"):
        expected = stack.hidden(IDS)[:, -1] @ head[0]
        torch.testing.assert_close(reward.score(IDS, torch.ones_like(IDS)), expected, atol=1e-5, rtol=1e-5)
    assert reward.append_eos is True
    assert not any(p.requires_grad for p in reward.model.parameters())


def test_plain_folders_and_pointers_to_them(folders: Path, tmp_path: Path) -> None:
    direct = AutoModelForCausalLM.from_pretrained(folders / "base")
    with torch.no_grad():
        expected = direct(IDS).logits
    pointer = tmp_path / "pointer"
    pointer.mkdir()
    (pointer / "base.json").write_text(json.dumps({"path": str(folders / "base"), "dtype": "bfloat16"}))
    torch.testing.assert_close(logits(folders / "base"), expected)
    assert load_policy(pointer).model.dtype == torch.bfloat16
    torch.testing.assert_close(load_policy(pointer, dtype="float32").model(IDS).logits, expected)


def test_half_precision_keeps_adapters_apart(folders: Path) -> None:
    half = load_policy(folders / "policy", dtype="bfloat16").model
    assert any("lora" in name for name, _ in half.named_parameters())
    assert not torch.allclose(half(IDS).logits, load_policy(folders / "base", dtype="bfloat16").model(IDS).logits)
    torch.testing.assert_close(half(IDS).logits.float(), logits(folders / "policy"), atol=0.3, rtol=0.1)


def test_a_peft_folder_finds_its_base(folders: Path, tmp_path: Path) -> None:
    adapter = folders / "policy" / "adapters" / "00_sft"
    torch.testing.assert_close(logits(adapter), logits(folders / "policy"))
    alone = shutil.copytree(adapter, tmp_path / "alone")
    with pytest.raises(SeamError, match="base_model_name_or_path"):
        load_policy(alone)
    edit(alone / "adapter_config.json", base_model_name_or_path=str(folders / "base"))
    torch.testing.assert_close(logits(alone), logits(folders / "policy"))
    with pytest.raises(SeamError, match="no reward head"):
        load_reward(alone)


def test_a_peft_reward_adapter_brings_its_head(folders: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, TaskType, get_peft_model

    torch.manual_seed(0)
    base = AutoModelForSequenceClassification.from_pretrained(folders / "base", num_labels=1)
    model = get_peft_model(base, LoraConfig(r=4, task_type=TaskType.SEQ_CLS, init_lora_weights=False)).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "seam_reward.json").write_text('{"append_eos": true}')
    reward = load_reward(tmp_path)
    with torch.no_grad():
        expected = model(IDS).logits[:, 0]
        torch.testing.assert_close(reward.score(IDS, torch.ones_like(IDS)), expected, atol=1e-5, rtol=1e-5)
    assert reward.append_eos is True


def test_stacks_move_with_their_base_and_can_be_relinked(folders: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    for name in ("base", "policy"):
        shutil.copytree(folders / name, moved / name)
    torch.testing.assert_close(logits(moved / "policy"), logits(folders / "policy"))
    far = shutil.move(moved / "policy", tmp_path / "far")
    with pytest.raises(SeamError, match="is gone"):
        load_policy(far)
    relink(Path(far), moved / "base")
    assert json.loads((tmp_path / "far" / "stack.json").read_text())["base"] == "../moved/base"
    torch.testing.assert_close(logits(tmp_path / "far"), logits(folders / "policy"))


def broken(folders: Path, tmp_path: Path, name: str) -> Path:
    shutil.copytree(folders / "base", tmp_path / "base")
    return tmp_path / "base" if name == "base" else Path(shutil.copytree(folders / name, tmp_path / name))


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def drop_a_weight(file: Path) -> None:
    state = load_file(file)
    state.pop("model.layers.1.self_attn.q_proj.weight")
    save_file(state, file, metadata={"format": "pt"})


def no_end_token(file: Path) -> None:
    edit(file, eos_token=None)


POLICY_FAULTS = {
    "truncated": ("base", "model.safetensors", truncate, "truncated or damaged"),
    "incomplete": ("base", "model.safetensors", drop_a_weight, "lacks 1 weights"),
    "no weights": ("base", "model.safetensors", Path.unlink, "check that the folder is complete"),
    "no config": ("base", "config.json", Path.unlink, "check that the folder is complete"),
    "bad config": ("base", "config.json", lambda file: file.write_text("{"), "check that the folder is complete"),
    "no end token": ("base", "tokenizer_config.json", no_end_token, "end-of-text token"),
    "bad stack": ("policy", "stack.json", lambda file: file.write_text("{"), "not valid JSON"),
    "other format": ("policy", "stack.json", lambda file: edit(file, format=2), "unknown format"),
    "a reward": ("policy", "stack.json", lambda file: edit(file, kind="reward"), "is a reward model"),
    "lost adapter": ("policy", "adapters/00_sft/adapter_model.safetensors", Path.unlink, "incomplete"),
    "cut adapter": ("policy", "adapters/00_sft/adapter_model.safetensors", truncate, "truncated or damaged"),
}


@pytest.mark.parametrize("fault", POLICY_FAULTS)
def test_faulty_policies_are_refused(folders: Path, tmp_path: Path, fault: str) -> None:
    name, file, damage, sentence = POLICY_FAULTS[fault]
    folder = broken(folders, tmp_path, name)
    damage(folder / file)
    with pytest.raises(SeamError, match=sentence) as caught:
        load_policy(folder)
    assert "\n" not in str(caught.value)


REWARD_FAULTS = {
    "no head": ("reward", lambda folder: (folder / "head.safetensors").unlink(), "incomplete"),
    "cut head": ("reward", lambda folder: truncate_head(folder), "truncated or damaged"),
    "a policy": ("policy", lambda folder: None, "is a policy"),
    "a language model": ("base", lambda folder: None, "without a reward head"),
}


def truncate_head(folder: Path) -> None:
    file = folder / "head.safetensors"
    file.write_bytes(file.read_bytes()[:-20])


@pytest.mark.parametrize("fault", REWARD_FAULTS)
def test_faulty_reward_models_are_refused(folders: Path, tmp_path: Path, fault: str) -> None:
    name, damage, sentence = REWARD_FAULTS[fault]
    folder = broken(folders, tmp_path, name)
    damage(folder)
    with pytest.raises(SeamError, match=sentence):
        load_reward(folder)


def test_several_labels_are_refused(folders: Path, tmp_path: Path) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(folders / "base", num_labels=3)
    model.save_pretrained(tmp_path)
    with pytest.raises(SeamError, match="has 3 labels"):
        load_reward(tmp_path)


def test_missing_folders_and_an_unreachable_hub(tmp_path: Path) -> None:
    with pytest.raises(SeamError, match="No model folder at"):
        load_policy(tmp_path / "nothing")
    with pytest.raises(SeamError, match="is a file"):
        (tmp_path / "file").write_text("")
        load_policy(tmp_path / "file")
    with pytest.raises(SeamError, match="hub did not deliver"):
        load_policy("seam-pipeline-tests/no-such-model")


def test_pickled_weights_are_not_read(folders: Path, tmp_path: Path) -> None:
    folder = broken(folders, tmp_path, "base")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(SeamError, match="Cannot load the model"):
        load_policy(folder)


def test_a_missing_pad_token_becomes_the_end_token(tmp_path: Path) -> None:
    folder = tiny_base(tmp_path)
    edit(folder / "tokenizer_config.json", pad_token=None)
    tokenizer = load_tokenizer(folder)
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 2
    assert tokenizer.padding_side == "right"
