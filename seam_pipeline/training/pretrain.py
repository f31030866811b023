"""A byte-level BPE tokenizer and a small LLaMA trained from scratch on any texts."""

import json
import math
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Scratch
from seam_pipeline.progress import Progress, silent

from ._artifacts import whole_folder
from .watch import Watch, unwatched

END, PAD = "<|endoftext|>", "<|pad|>"
CHARS_PER_TOKEN = 8
"""Reading stops after so many characters per token of training: more text would not be used."""
INITIAL_SCALE = 0.8
"""Standard deviation of the first weights, times the root of the width: 0.02 learns narrow models far slower."""
WEIGHT_DECAY, BETAS, MAX_GRAD_NORM, WARMUP_SHARE, FINAL_SHARE = 0.05, (0.9, 0.98), 1.0, 0.05, 0.05


def train_base(
    texts: Iterable[str],
    settings: Scratch,
    out: Path,
    seed: int,
    device: str = "cpu",
    progress: Progress = silent,
    watch: Watch = unwatched,
) -> Path:
    """Write a HF folder with tokenizer, weights, `metrics.parquet` and `summary.json`; an old folder is replaced.

    The same texts, settings and seed give the same bytes on the same machine and number of threads.
    Raises SeamError when there is too little text or a block is longer than the model's context.
    """
    if settings.block_size > settings.max_length:
        raise SeamError(
            f"base.scratch.block_size is {settings.block_size}, longer than max_length {settings.max_length}; lower it."
        )
    corpus = _read(texts, CHARS_PER_TOKEN * settings.steps * settings.batch_size * settings.block_size)
    tokenizer = train_tokenizer(corpus, settings.vocab_size, settings.max_length)
    encoded = tokenizer.backend_tokenizer.encode_batch(corpus)
    documents = [np.asarray([*document.ids, tokenizer.eos_token_id], np.int64) for document in encoded]
    if sum(map(len, documents)) <= settings.block_size:
        raise SeamError(
            "The texts for the base model fill not even one block; give more texts or a smaller block_size."
        )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(_config(settings, tokenizer)).to(device)
    metrics = _train(model, _batches(documents, settings, seed), settings, progress, watch)
    tokens = metrics[-1]["tokens"]
    summary = {
        "documents": len(documents),
        "corpus_tokens": sum(map(len, documents)),
        "steps": settings.steps,
        "tokens": tokens,
        "parameters": sum(p.numel() for p in model.parameters()),
        "final_loss": round(sum(m["loss"] for m in metrics[-10:]) / len(metrics[-10:]), 6),
        "seed": seed,
    }
    return _write(model, tokenizer, metrics, summary, Path(out))


def train_tokenizer(corpus: list[str], vocab_size: int, max_length: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE; end-of-text and padding are two tokens, and nothing is added to a text."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[END, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        eos_token=END,
        pad_token=PAD,
        model_max_length=max_length,
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def _read(texts: Iterable[str], most: int) -> list[str]:
    corpus, size = [], 0
    for text in texts:
        if text:
            corpus.append(text)
            size += len(text)
        if size >= most:
            break
    return corpus


def _config(settings: Scratch, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        max_position_embeddings=settings.max_length,
        tie_word_embeddings=True,
        initializer_range=INITIAL_SCALE / math.sqrt(settings.hidden_size),
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        use_cache=True,
    )


def _batches(documents: list[np.ndarray], settings: Scratch, seed: int) -> Iterator[torch.Tensor]:
    # [batch_size, block_size + 1] token ids without end: every pass joins the documents in another order.
    rng = random.Random(seed)
    length, rest = settings.block_size + 1, np.empty(0, np.int64)
    blocks: list[np.ndarray] = []
    while True:
        order = rng.sample(range(len(documents)), len(documents))
        stream = np.concatenate([rest, *(documents[i] for i in order)])
        whole = len(stream) // length
        blocks += list(stream[: whole * length].reshape(whole, length))
        rest = stream[whole * length :]
        while len(blocks) >= settings.batch_size:
            yield torch.from_numpy(np.stack(blocks[: settings.batch_size]))
            del blocks[: settings.batch_size]


def _train(
    model: LlamaForCausalLM, batches: Iterator[torch.Tensor], settings: Scratch, progress: Progress, watch: Watch
) -> list[dict[str, float]]:
    model.train()
    optimizer = _optimizer(model, settings.learning_rate)
    metrics: list[dict[str, float]] = []
    tokens = 0
    for step in range(settings.steps):
        rate = settings.learning_rate * _schedule(step, settings.steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = next(batches).to(model.device)
        logits = model(input_ids=batch[:, :-1], use_cache=False).logits
        loss = F.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        tokens += batch[:, 1:].numel()
        metrics.append({"step": step + 1, "loss": loss.item(), "learning_rate": rate, "tokens": tokens})
        watch(metrics[-1])
        progress(step + 1, settings.steps)
    return metrics


def _optimizer(model: LlamaForCausalLM, learning_rate: float) -> torch.optim.AdamW:
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=BETAS, fused=True)


def _schedule(step: int, steps: int) -> float:
    # Linear warm-up, then half a cosine down to FINAL_SHARE of the peak.
    warmup = max(1, round(WARMUP_SHARE * steps))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + math.cos(math.pi * done))


def _write(
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    metrics: list[dict[str, float]],
    summary: dict[str, object],
    out: Path,
) -> Path:
    with whole_folder(out) as folder:
        model.save_pretrained(folder, safe_serialization=True)
        tokenizer.save_pretrained(folder)
        pq.write_table(pa.Table.from_pylist(metrics), folder / "metrics.parquet")
        (folder / "summary.json").write_text(json.dumps(summary, indent=1, sort_keys=True) + "\n", "utf-8")
    return out
