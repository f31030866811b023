"""Tiny random models for tests: real Hugging Face folders, deterministic, made in milliseconds."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, LlamaForSequenceClassification, PreTrainedTokenizerFast

from seam_pipeline.experiment import Lora
from seam_pipeline.models._compat import quiet
from seam_pipeline.models.stack import AdapterStack, write_head, write_stack

CORPUS = [
    "Question: how do I brew a pale ale?\n\nAnswer: boil the wort, add the hops, cool it and pitch the yeast."
] * 4
LORA = Lora(r=4, alpha=8, dropout=0.0)


def tiny_tokenizer(vocab: int = 300) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with begin, end and padding tokens; begins every text with `<s>`."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<pad>", "<s>", "</s>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
    )


def _config(layers: int, hidden: int, heads: int, kv_heads: int, vocab: int, **more: object) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocab,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=256,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
        **more,
    )


def _save(model: torch.nn.Module, folder: Path, vocab: int) -> Path:
    with quiet():
        model.save_pretrained(folder)
    tiny_tokenizer(vocab).save_pretrained(folder)
    return folder


def tiny_base(
    folder: Path, seed: int = 0, layers: int = 2, hidden: int = 32, heads: int = 4, kv_heads: int = 2, vocab: int = 300
) -> Path:
    """A random causal LLaMA with its tokenizer."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return _save(LlamaForCausalLM(_config(layers, hidden, heads, kv_heads, vocab)), Path(folder), vocab)


def tiny_reward(folder: Path, seed: int = 0) -> Path:
    """A random LLaMA sequence classifier with one label: a plain Hugging Face reward model."""
    with torch.random.fork_rng([]):
        torch.manual_seed(seed)
        return _save(LlamaForSequenceClassification(_config(2, 32, 4, 2, 300, num_labels=1)), Path(folder), 300)


def tiny_policy_stack(folder: Path, base: Path) -> Path:
    """A policy stack with one random adapter, `00_sft`."""
    _random_adapters(AdapterStack.from_base(base), Path(folder), ["00_sft"])
    write_stack(Path(folder), "policy", base, ["00_sft"])
    return Path(folder)


def tiny_reward_stack(folder: Path, base: Path) -> Path:
    """A reward stack with two random adapters, `00_sft` and `01_rm`, and a random head."""
    stack = AdapterStack.from_base(base)
    _random_adapters(stack, Path(folder), ["00_sft", "01_rm"])
    generator = torch.Generator().manual_seed(7)
    width = stack.model.config.hidden_size
    write_head(Path(folder) / "head.safetensors", torch.randn(1, width, generator=generator) / width**0.5)
    write_stack(Path(folder), "reward", base, ["00_sft", "01_rm"], append_eos=True)
    return Path(folder)


def _random_adapters(stack: AdapterStack, folder: Path, names: Sequence[str]) -> None:
    for number, name in enumerate(names):
        stack.add_adapter(name, LORA, seed=number)
        generator = torch.Generator().manual_seed(100 + number)
        for parameter in stack.parameters_of(name):
            parameter.data = 0.2 * torch.randn(parameter.shape, generator=generator)
        stack.save_adapter(name, folder / "adapters" / name)
