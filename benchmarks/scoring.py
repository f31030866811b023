"""Scoring speed: ours against the authors' algorithm and against plain sorted batching, on the same models and texts.

    python benchmarks/scoring.py --instructions 2 --threads 1 --out benchmarks/results/scoring.md
    python benchmarks/scoring.py --device cuda --dtype bfloat16 --shape 7b --instructions 16

A LLaMA with random weights (60 M parameters, or LLaMA-2-7B's shape; vocabulary 32k) scores 31 responses of 32 to 128
tokens after prompts of 50 to 400 tokens: real posts where `../shared/data/stackexchange` (or SEAM_REAL_DATA) exists,
generated words elsewhere. On CPU, times are CPU seconds of this process, which other work on the machine disturbs
least, with wall seconds beside them; on a GPU they are wall seconds, after a first round that compiles. Prints ratios,
the largest difference between results, and the share of the measured matmul rate. Needs torch, transformers, peft,
pyarrow and pydantic.
"""

import argparse
import datetime
import gc
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers
from _scoring_peers import BUDGET, authors_policy, authors_reward, plain_policy, plain_reward
from _scoring_texts import RESPONSES, VOCABULARY, generated_texts, items_of, real_texts, tokenizer_of
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
)

from seam_pipeline.experiment import Scoring
from seam_pipeline.models.prompt import prompt_text, response_text
from seam_pipeline.models.stack import Policy, RewardModel
from seam_pipeline.scoring._engine import Engine
from seam_pipeline.scoring._tree import Ids, grow, lexicographic, narrow
from seam_pipeline.scoring.items import Item
from seam_pipeline.scoring.likelihood import score_likelihoods
from seam_pipeline.scoring.reward import score_rewards

SHAPES: dict[str, dict[str, int]] = {
    "60m": {"hidden_size": 512, "intermediate_size": 1536, "num_hidden_layers": 8, "num_attention_heads": 8},
    "7b": {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
    "tiny": {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4},
}
OURS = "ours"
WHOLE = Scoring(max_response_tokens=None, tokens_per_batch=BUDGET)


class Run(NamedTuple):
    """Seconds: CPU time on CPU, wall time on a GPU. GiB: the GPU's peak during the run, weights included."""

    values: list[float]
    seconds: float
    wall: float
    gib: float | None


def timed(score: Callable[[], list[float]], device: torch.device) -> Run:
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    cpu, start = time.process_time(), time.perf_counter()
    values = score()
    if device.type != "cuda":
        return Run(values, time.process_time() - cpu, time.perf_counter() - start, None)
    torch.cuda.synchronize()
    wall = time.perf_counter() - start
    return Run(values, wall, wall, torch.cuda.max_memory_allocated() / 2**30)


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP per second of a square matmul; on CPU per CPU second times threads, as if nothing else ran."""
    size, rounds = (8192, 50) if device.type == "cuda" else (2048, 4)
    a = torch.randn(size, size, device=device, dtype=dtype)

    def multiply() -> list[float]:
        for _ in range(rounds):
            a @ a
        return []

    timed(multiply, device)
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    return rounds * 2 * size**3 / timed(multiply, device).seconds * threads


def needed_flops(config: Any, trees: Sequence[tuple[list[Ids], list[int]]], projects: bool) -> float:
    """Multiplications and additions that the prefix trees need, counted twice as matmuls are.

    Linear layers and attention of every node, in the last layer those of the nodes that are read and the keys and
    values of all, and the projection to the vocabulary.
    """
    hidden, layers = config.hidden_size, config.num_hidden_layers
    square, mlp = 2 * hidden * hidden, 6 * hidden * config.intermediate_size
    total = 0.0
    for sequences, first in trees:
        order = lexicographic(sequences)
        tree = grow([sequences[place] for place in order])
        read = narrow(tree, [first[place] for place in order])[0]
        n, reach = len(tree.tokens), tree.depths + 1
        total += (layers - 1) * (n * (4 * square + mlp) + 4 * hidden * float(reach.sum()))
        total += n * 2 * square + len(read) * (2 * square + mlp) + 4 * hidden * float(reach[read].sum())
        total += 2 * hidden * VOCABULARY * len(read) if projects else 0
    return total


def policy_trees(policy: Policy, items: Sequence[Item]) -> Iterator[tuple[list[Ids], list[int]]]:
    for item in items:
        pairs = [policy.token_ids(item.instruction, text) for text in item.responses]
        yield [np.array((p + r)[:-1], np.int64) for p, r in pairs], [len(p) - 1 for p, _ in pairs]


def reward_trees(rm: RewardModel, items: Sequence[Item]) -> Iterator[tuple[list[Ids], list[int]]]:
    for item in items:
        texts = [np.array(ids, np.int64) for ids in rm.encode([(item.instruction, text) for text in item.responses])]
        yield texts, [len(ids) - 1 for ids in texts]


def random_model(kind: Any, shape: str, device: torch.device, dtype: torch.dtype) -> Any:
    """Built on the device: 7 billion random numbers take minutes elsewhere."""
    config = LlamaConfig(
        vocab_size=VOCABULARY, **SHAPES[shape], max_position_embeddings=2048, pad_token_id=0, eos_token_id=1,
        bos_token_id=None, num_labels=1, tie_word_embeddings=False,
    )  # fmt: skip
    before = torch.get_default_dtype()
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return kind(config).eval()
    finally:
        torch.set_default_dtype(before)


class Side(NamedTuple):
    """One model: how each method scores it, and the arithmetic that ours needs."""

    scorers: dict[str, Callable[[], list[float]]]
    warm_up: Callable[[], list[float]]
    flops: float
    way: str


def side_of(which: str, options: argparse.Namespace, tokenizer: Any, items: Sequence[Item]) -> Side:
    """The policy or the reward model; only one of them is in memory at a time."""
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    kind: Any = LlamaForCausalLM if which == "policy" else LlamaForSequenceClassification
    model = random_model(kind, options.shape, device, dtype)
    config = model.config
    few = [Item("w", "a b c", ("d e",), (0,))] if device.type == "cpu" else items
    way = Engine(model, device, "packed", BUDGET).way
    said = f"attention by {way.kernel}" if way is not None else "padded"
    if which == "policy":
        policy = Policy(model, tokenizer, device)

        def loglik(given: Sequence[Item]) -> list[float]:
            return score_likelihoods(policy, given, WHOLE, layout="packed")["loglik"].to_pylist()

        scorers = {OURS: lambda: loglik(items), "(a) authors' algorithm": lambda: authors_policy(policy, items)}
        scorers["(b) plain sorted batching"] = lambda: plain_policy(policy, items)
        return Side(scorers, lambda: loglik(few), needed_flops(config, list(policy_trees(policy, items)), True), said)
    rm = RewardModel(model, tokenizer, False, device)

    def reward(given: Sequence[Item]) -> list[float]:
        return score_rewards(rm, given, WHOLE, layout="packed")["reward"].to_pylist()

    scorers = {OURS: lambda: reward(items), "(a) authors' algorithm": lambda: authors_reward(rm, items)}
    scorers["(b) plain sorted batching"] = lambda: plain_reward(rm, items)
    return Side(scorers, lambda: reward(few), needed_flops(config, list(reward_trees(rm, items)), False), said)


def lines_of(which: str, runs: dict[str, Run]) -> Iterator[str]:
    ours = runs[OURS]
    for name, run in runs.items():
        off = max(abs(a - b) for a, b in zip(run.values, ours.values, strict=True))
        ratios = f"{run.seconds / ours.seconds:.1f}x | {run.wall / ours.wall:.1f}x" if run is not ours else "- | -"
        gib = "-" if run.gib is None else f"{run.gib:.1f}"
        yield f"| {which} | {name} | {run.seconds:.1f} | {run.wall:.1f} | {ratios} | {off:.1e} | {gib} |"


def measured(options: argparse.Namespace, tokenizer: Any, items: Sequence[Item]) -> Iterator[str]:
    """The table's lines, then the shares of the matmul rate."""
    device, shares = torch.device(options.device), []
    rate = matmul_rate(device, getattr(torch, options.dtype))
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    for which in options.models:
        side = side_of(which, options, tokenizer, items)
        first = timed(side.warm_up, device)
        runs = {name: timed(score, device) for name, score in side.scorers.items()}
        yield from lines_of(which, runs)
        achieved = side.flops / runs[OURS].seconds * threads
        shares.append(
            f"The {which} pass ({side.way}; warm-up {first.wall:.0f} s) reaches {achieved / 1e9:.0f} of the "
            f"{rate / 1e9:.0f} GFLOP/s of a square matmul: {achieved / rate:.0%}."
        )
        del side
        gc.collect()
        torch.cuda.empty_cache()
    yield ""
    yield from shares


def report_of(options: argparse.Namespace) -> Iterator[str]:
    texts, kind = list(real_texts()), "real posts"
    if not texts:
        texts, kind = list(generated_texts()), "generated words"
    tokenizer = tokenizer_of(texts)
    items = items_of(texts, tokenizer, options.instructions)
    prompts = [len(tokenizer(prompt_text(item.instruction))["input_ids"]) for item in items]
    lengths = [len(tokenizer(response_text(text))["input_ids"]) for item in items for text in item.responses]
    where = f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    where = torch.cuda.get_device_name() if options.device == "cuda" else f"{where}, CPU"
    yield f"## {datetime.date.today()}: {where}"
    yield ""
    yield (
        f"`python benchmarks/scoring.py {' '.join(sys.argv[1:])}`; torch {torch.__version__}, transformers "
        f"{transformers.__version__}, {options.dtype}, LLaMA of shape {options.shape}, vocabulary 32k, random weights; "
        f"{kind}: {len(items)} prompts of {min(prompts)}-{max(prompts)} tokens, {RESPONSES} responses of "
        f"{min(lengths)}-{max(lengths)} each."
    )
    yield ""
    yield "| model | method | s | wall s | ours is faster | ours is faster (wall) | largest difference | peak GiB |"
    yield "|---|---|---|---|---|---|---|---|"
    yield from measured(options, tokenizer, items)
    yield f"Load average at the end {os.getloadavg()[0]:.1f}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instructions", type=int, default=4)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--shape", choices=SHAPES, default="60m")
    parser.add_argument("--models", nargs="+", choices=("policy", "reward"), default=("policy", "reward"))
    parser.add_argument("--out", type=Path, help="append the results to this Markdown file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = []
    with torch.inference_mode():
        for line in report_of(options):
            print(line, flush=True)
            lines.append(line)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with options.out.open("a", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n\n")


if __name__ == "__main__":
    main()
