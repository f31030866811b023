"""Scoring speed: ours against the authors' algorithm and against plain sorted batching, on the same models and texts.

    python benchmarks/scoring.py --instructions 2 --out benchmarks/results/scoring.md

A LLaMA with random weights (60 M parameters, vocabulary 32k) scores 31 responses of 32 to 128 tokens after prompts
of 50 to 400 tokens: real posts where `../shared/data/stackexchange` (or SEAM_REAL_DATA) exists, generated words
elsewhere. Times are CPU seconds of this process, which other work on the machine disturbs least; wall seconds are
printed beside them. Prints ratios, the largest difference between results, and the share of the measured matmul rate.
"""

import argparse
import datetime
import os
import platform
import re
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Sequence
from html import unescape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    PreTrainedTokenizerFast,
    pipeline,
)

from seam_pipeline.experiment import Scoring
from seam_pipeline.models.prompt import full_text, prompt_text, response_text
from seam_pipeline.models.stack import Policy, RewardModel
from seam_pipeline.scoring._tree import grow, lexicographic
from seam_pipeline.scoring.items import Item
from seam_pipeline.scoring.likelihood import score_likelihoods
from seam_pipeline.scoring.reward import score_rewards

VOCABULARY, HIDDEN, INNER, LAYERS, HEADS = 32_000, 512, 1536, 8, 8
RESPONSES = 31
BUDGET = 8192
WHOLE = Scoring(max_response_tokens=None, tokens_per_batch=BUDGET)


class Run(NamedTuple):
    values: list[float]
    cpu: float
    wall: float


def real_texts() -> Iterator[str]:
    """Bodies of posts as plain text."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "stackexchange"
    for path in sorted(Path(os.environ.get("SEAM_REAL_DATA", beside)).glob("*/Posts.xml")):
        for _, row in ElementTree.iterparse(path):
            if row.get("Body"):
                yield unescape(re.sub(r"<[^>]+>", "", row.get("Body", ""))).strip()
            row.clear()


def generated_texts() -> Iterator[str]:
    """Words of random letters, Zipf distributed, when there are no posts."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("etaoinshrdlu"), rng.integers(2, 10))) for _ in range(20_000)]
    for _ in range(4000):
        yield " ".join(words[min(int(rank), len(words)) - 1] for rank in rng.zipf(1.3, 200))


def tokenizer_of(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE trained on the texts, padded to the full vocabulary by the model alone."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<pad>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="<pad>")


def items_of(texts: Sequence[str], tokenizer: Any, n: int) -> list[Item]:
    """n instructions of 50 to 400 tokens with 31 responses of 32 to 128, cut from consecutive posts."""
    rng = np.random.default_rng(0)
    stream = np.concatenate(tokenizer(list(texts), add_special_tokens=False)["input_ids"])
    place = 0

    def cut(low: int, high: int) -> str:
        nonlocal place
        length = int(rng.integers(low, high + 1))
        place += length
        return tokenizer.decode(stream[place - length : place]).strip() or "empty"

    return [
        Item(str(k), cut(50, 400), tuple(cut(32, 128) for _ in range(RESPONSES)), tuple(range(RESPONSES)))
        for k in range(n)
    ]


def timed(score: Callable[[], list[float]]) -> Run:
    cpu, wall = time.process_time(), time.perf_counter()
    values = score()
    return Run(values, time.process_time() - cpu, time.perf_counter() - wall)


def authors_policy(policy: Policy, items: Sequence[Item]) -> list[float]:
    """One padded batch per instruction, log-softmax of everything, a Python loop over tokens."""
    values = []
    for item in items:
        pairs = [policy.token_ids(item.instruction, text) for text in item.responses]
        width = max(len(p) + len(r) for p, r in pairs)
        ids = torch.full((len(pairs), width), policy.pad_id)
        mask = torch.zeros_like(ids)
        for row, (prompt, response) in enumerate(pairs):
            ids[row, : len(prompt) + len(response)] = torch.tensor(prompt + response)
            mask[row, : len(prompt) + len(response)] = 1
        logprobs = policy.model(input_ids=ids, attention_mask=mask).logits.log_softmax(-1)
        for row, (prompt, response) in enumerate(pairs):
            total = 0.0
            for step, token in enumerate(response):
                total += logprobs[row, len(prompt) + step - 1, token].item()
            values.append(total)
    return values


def authors_reward(rm: RewardModel, items: Sequence[Item]) -> list[float]:
    """One text at a time through a pipeline."""
    score = pipeline("text-classification", model=rm.model, tokenizer=rm.tokenizer, function_to_apply="none")
    return [score(full_text(item.instruction, text))[0]["score"] for item in items for text in item.responses]


def sorted_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda p: -lengths[p]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > BUDGET:
            yield batch
            batch = []
        batch.append(place)
    yield batch


def plain_policy(policy: Policy, items: Sequence[Item]) -> list[float]:
    """All sequences sorted by length, padded, logits of every token, gathered without a loop."""
    pairs = [policy.token_ids(item.instruction, text) for item in items for text in item.responses]
    values = [0.0] * len(pairs)
    for batch in sorted_batches([len(p) + len(r) for p, r in pairs]):
        rows = [pairs[place] for place in batch]
        encoded = policy.tokenizer.pad({"input_ids": [p + r for p, r in rows]}, return_tensors="pt")
        logits = policy.model(**{key: encoded[key] for key in ("input_ids", "attention_mask")}).logits
        found = logits[:, :-1].log_softmax(-1).gather(-1, encoded["input_ids"][:, 1:, None])[..., 0]
        for place, row, (prompt, response) in zip(batch, found, rows, strict=True):
            values[place] = float(row[len(prompt) - 1 : len(prompt) + len(response) - 1].sum())
    return values


def plain_reward(rm: RewardModel, items: Sequence[Item]) -> list[float]:
    """All texts sorted by length, padded, through the sequence classifier."""
    texts = rm.tokenizer([full_text(item.instruction, text) for item in items for text in item.responses])["input_ids"]
    values = [0.0] * len(texts)
    for batch in sorted_batches(list(map(len, texts))):
        encoded = rm.tokenizer.pad({"input_ids": [texts[place] for place in batch]}, return_tensors="pt")
        logits = rm.model(**{key: encoded[key] for key in ("input_ids", "attention_mask")}).logits
        for place, value in zip(batch, logits[:, 0].tolist(), strict=True):
            values[place] = value
    return values


def matmul_rate() -> float:
    """float32 FLOP per CPU second, times threads: what this process could do if nothing else ran."""
    a = torch.randn(2048, 2048)
    a @ a
    cpu = time.process_time()
    for _ in range(4):
        a @ a
    return 4 * 2 * 2048**3 / (time.process_time() - cpu) * torch.get_num_threads()


def policy_flops(policy: Policy, items: Sequence[Item]) -> float:
    """Multiplications and additions that the prefix trees need: linear layers, attention, projection."""
    linear = 2 * LAYERS * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * INNER)
    total = 0.0
    for item in items:
        pairs = [policy.token_ids(item.instruction, text) for text in item.responses]
        sequences = [np.array((p + r)[:-1], np.int64) for p, r in pairs]
        tree = grow([sequences[place] for place in lexicographic(sequences)])
        projected = len(np.unique(np.concatenate([path[len(pairs[0][0]) - 1 :] for path in tree.paths])))
        attention = 4 * LAYERS * HIDDEN * float((tree.depths + 1).sum())
        total += linear * len(tree.tokens) + attention + 2 * HIDDEN * VOCABULARY * projected
    return total


def setting(n: int) -> tuple[Policy, RewardModel, list[Item], str]:
    texts, kind = list(real_texts()), "real posts"
    if not texts:
        texts, kind = list(generated_texts()), "generated words"
    tokenizer = tokenizer_of(texts)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, max_position_embeddings=2048, pad_token_id=0, eos_token_id=1, bos_token_id=None,
        num_labels=1, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    policy = Policy(LlamaForCausalLM(config).eval(), tokenizer)
    rm = RewardModel(LlamaForSequenceClassification(config).eval(), tokenizer)
    return policy, rm, items_of(texts, tokenizer, n), kind


def compare(policy: Policy, rm: RewardModel, items: Sequence[Item], models: Sequence[str]) -> dict[str, dict[str, Run]]:
    warm = [Item("w", "a b c", ("d e",), (0,))]

    def ours_policy(given: Sequence[Item] = items) -> list[float]:
        return score_likelihoods(policy, given, WHOLE, layout="packed")["loglik"].to_pylist()

    def ours_reward(given: Sequence[Item] = items) -> list[float]:
        return score_rewards(rm, given, WHOLE, layout="packed")["reward"].to_pylist()

    ours_policy(warm)
    ours_reward(warm)
    peers: dict[str, dict[str, Callable[[], list[float]]]] = {
        "policy": {
            "ours": ours_policy,
            "(a) authors' algorithm": lambda: authors_policy(policy, items),
            "(b) plain sorted batching": lambda: plain_policy(policy, items),
        },
        "reward": {
            "ours": ours_reward,
            "(a) authors' algorithm": lambda: authors_reward(rm, items),
            "(b) plain sorted batching": lambda: plain_reward(rm, items),
        },
    }
    return {model: {name: timed(score) for name, score in by.items()} for model, by in peers.items() if model in models}


def lines_of(runs: dict[str, dict[str, Run]]) -> Iterator[str]:
    yield "| model | method | CPU s | wall s | ours is faster (CPU) | ours is faster (wall) | largest difference |"
    yield "|---|---|---|---|---|---|---|"
    for model, by in runs.items():
        ours = by["ours"]
        for name, run in by.items():
            off = max(abs(a - b) for a, b in zip(run.values, ours.values, strict=True))
            ratios = f"{run.cpu / ours.cpu:.1f}x | {run.wall / ours.wall:.1f}x" if run is not ours else "- | -"
            yield f"| {model} | {name} | {run.cpu:.1f} | {run.wall:.1f} | {ratios} | {off:.1e} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instructions", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--models", nargs="+", choices=("policy", "reward"), default=("policy", "reward"))
    parser.add_argument("--out", type=Path, help="append the results to this Markdown file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with torch.inference_mode():
        policy, rm, items, kind = setting(options.instructions)
        rate = matmul_rate()
        runs = compare(policy, rm, items, options.models)
    prompts = [len(policy.tokenizer(prompt_text(item.instruction))["input_ids"]) for item in items]
    lengths = [len(policy.tokenizer(response_text(t))["input_ids"]) for item in items for t in item.responses]
    report = [
        f"## {datetime.date.today()}: {platform.machine()}, {os.cpu_count()} cores, {options.threads} threads, CPU",
        "",
        f"`python benchmarks/scoring.py --instructions {options.instructions} --threads {options.threads} "
        f"--models {' '.join(options.models)}`; "
        f"torch {torch.__version__}, float32, LLaMA of {policy.model.num_parameters() / 1e6:.0f} M, vocabulary 32k, "
        f"random weights; {kind}: {len(items)} prompts of {min(prompts)}-{max(prompts)} tokens, "
        f"{RESPONSES} responses of {min(lengths)}-{max(lengths)} each. "
        f"Load average at the end {os.getloadavg()[0]:.1f}.",
        "",
        *lines_of(runs),
    ]
    if "policy" in runs:
        achieved = policy_flops(policy, items) / runs["policy"]["ours"].cpu * options.threads
        report += [
            "",
            f"Policy scoring reaches {achieved / 1e9:.0f} of the {rate / 1e9:.0f} GFLOP/s of a 2048-wide matmul "
            f"({achieved / rate:.0%}), counted per CPU second.",
        ]
    print("\n".join(report))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with options.out.open("a", encoding="utf-8") as file:
            file.write("\n".join(report) + "\n\n")


if __name__ == "__main__":
    main()
