"""The models and prompts of benchmarks/ppo.py: one set of folders that both trainers read."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from seam_pipeline.experiment import Lora
from seam_pipeline.models._compat import quiet
from seam_pipeline.models.export import export
from seam_pipeline.models.stack import AdapterStack, load_policy, load_reward, write_head, write_stack

PROMPTS = 256


class Shape(NamedTuple):
    """A LLaMA's sizes."""

    vocabulary: int
    hidden: int
    inner: int
    layers: int
    heads: int


SHAPES = {"tiny": Shape(4096, 128, 384, 4, 4), "mid": Shape(32_000, 512, 1408, 8, 8)}
"""About 1.9 and 58 million parameters."""


class Models(NamedTuple):
    """Folders: a stack of ours for each part, and the same weights as plain models for TRL; `prompts` is JSON."""

    policy: Path
    reward: Path
    plain_policy: Path
    plain_reward: Path
    prompts: Path
    parameters: int


def make_models(root: Path, size: str) -> Models:
    """Random weights and prompts of 24 to 96 tokens, the same at every call."""
    shape, base = SHAPES[size], root / "base"
    torch.manual_seed(0)
    tokenizer = _tokenizer(shape.vocabulary)
    model = LlamaForCausalLM(_config(shape))
    # Spread logits, so that sampled tokens have a distribution to be moved; end tokens stay rare.
    model.lm_head.weight.data.normal_(0, 1.5 / shape.hidden**0.5)
    _save(model, tokenizer, base)
    policy, reward = root / "policy", root / "reward"
    _stack(base, policy, ["00_sft"])
    _stack(base, reward, ["00_sft", "01_rm"])
    generator = torch.Generator().manual_seed(1)
    write_head(reward / "head.safetensors", torch.randn(1, shape.hidden, generator=generator) / shape.hidden**0.5)
    write_stack(policy, "policy", base, ["00_sft"])
    write_stack(reward, "reward", base, ["00_sft", "01_rm"], append_eos=False)
    merged = load_policy(policy)
    for plain, source in ((root / "plain_policy", merged.model), (root / "plain_reward", load_reward(reward).model)):
        _save(source, tokenizer, plain)
    texts = _texts(PROMPTS)
    prompts = root / "prompts.json"
    prompts.write_text(json.dumps({"texts": texts, "ids": merged.prompt_ids(texts)}), "utf-8")
    return Models(policy, reward, root / "plain_policy", root / "plain_reward", prompts, model.num_parameters())


def study_models(study: Path, root: Path) -> Models:
    """The best policy and reward model of a study's artifacts, its RL instructions, and merged copies below `root`."""
    policy, reward = study / "policy_model" / "pm01" / "model", study / "reward_model" / "rm01" / "model"
    plain_policy, plain_reward = root / "plain_policy", root / "plain_reward"
    export(policy, plain_policy)
    export(reward, plain_reward)
    rows = pq.read_table(study / "rl_data" / "all" / "table.parquet", columns=["split", "instruction"]).to_pylist()
    texts = [row["instruction"] for row in rows if row["split"] == "train"]
    loaded, prompts = load_policy(policy), root / "prompts.json"
    prompts.write_text(json.dumps({"texts": texts, "ids": loaded.prompt_ids(texts)}), "utf-8")
    return Models(policy, reward, plain_policy, plain_reward, prompts, loaded.model.num_parameters())


def _save(model: Any, tokenizer: Any, folder: Path) -> None:
    with quiet():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _config(shape: Shape) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads,
        max_position_embeddings=512,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
        tie_word_embeddings=False,
    )


def _stack(base: Path, folder: Path, names: list[str]) -> None:
    stack = AdapterStack.from_base(base)
    for number, name in enumerate(names):
        stack.add_adapter(name, Lora(r=8, alpha=16, dropout=0.0), seed=number)
        generator = torch.Generator().manual_seed(10 + number)
        for parameter in stack.parameters_of(name):
            parameter.data = 0.02 * torch.randn(parameter.shape, generator=generator)
        stack.save_adapter(name, folder / "adapters" / name)


def _words() -> list[str]:
    rng = np.random.default_rng(0)
    return ["".join(rng.choice(list("etaoinshrdlu"), rng.integers(2, 10))) for _ in range(40_000)]


def _texts(count: int) -> list[str]:
    rng, words = np.random.default_rng(1), _words()
    return [" ".join(words[int(place)] for place in rng.integers(0, 2000, rng.integers(12, 48))) for _ in range(count)]


def _tokenizer(vocabulary: int) -> Any:
    """Byte-level BPE of the words' language: as many different tokens as the model's vocabulary has."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "</s>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator([" ".join(_words()[:2000]) + " ", " ".join(_words())], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="</s>")
