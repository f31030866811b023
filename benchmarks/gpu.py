"""Training speed on one device: SFT, reward model and PPO, with and without each optimisation.

    PYTHONPATH=. python benchmarks/gpu.py --shape 7b --device cuda --dtype bfloat16 --out benchmarks/results/gpu.md
    python benchmarks/gpu.py --shape tiny --steps 3                  # anywhere, in a minute or two

A LLaMA with random weights (LLaMA-2-7B's shape, 60 M or 1.9 M parameters) gets LoRA adapters. Each line is a process of
its own: steps per second after the first step, peak memory (of the device, on a CPU of the process), and the share of
the measured matmul rate that the model's own multiplications reach: per token 2 N forward and 2 N for the gradient of
the activations, N the parameters without the embeddings; frozen weights need no gradient. SFT and reward model need trl
and datasets; where these are missing, their lines say so.
"""

import argparse
import datetime
import importlib.util
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import transformers
from _ppo_models import SHAPES, Shape, _config, _texts, _tokenizer
from transformers import LlamaForCausalLM

from seam_pipeline.experiment import PPO, SFT, Lora, RewardTraining
from seam_pipeline.models._compat import quiet
from seam_pipeline.models.stack import write_head, write_stack

ALL = SHAPES | {"7b": Shape(32_000, 4096, 11_008, 32, 32)}
LORA = Lora(r=16, alpha=32, dropout=0.0)
NEW = 48
PARTS: dict[str, list[str]] = {
    "sft": ["all", "batches not sorted by length"],
    "reward": ["all", "batches not sorted by length"],
    "ppo": [
        "all",
        "micro-batches not sorted by length",
        "adapters not folded",
        "library's forward for rollouts",
        "reward model beside the policy",
        "with gradient checkpointing",
    ],
}


def make_base(folder: Path, size: str, dtype: torch.dtype, device: torch.device) -> int:
    """A random base in `folder/weights`, a policy, and a reward model on it; returns N without the embeddings."""
    shape, weights = ALL[size], folder / "weights"
    torch.manual_seed(0)
    with torch.device(device):
        model = LlamaForCausalLM(_config(shape)).to(dtype)
    with quiet():
        model.save_pretrained(weights)
    _tokenizer(min(shape.vocabulary, 4096)).save_pretrained(weights)
    (folder / "base").mkdir()
    name = str(dtype).removeprefix("torch.")
    (folder / "base" / "base.json").write_text(json.dumps({"path": "../weights", "revision": None, "dtype": name}))
    write_stack(folder / "policy", "policy", folder / "base", [])
    (folder / "reward").mkdir()
    write_head(folder / "reward" / "head.safetensors", torch.randn(1, shape.hidden) / shape.hidden**0.5)
    write_stack(folder / "reward", "reward", folder / "base", [], append_eos=False)
    return int(model.num_parameters() - model.get_input_embeddings().weight.numel())


class Watch:
    """Seconds per step after the first."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.times = device, [time.perf_counter()]

    def __call__(self, *_: Any) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.times.append(time.perf_counter())

    @property
    def seconds(self) -> float:
        """Median over the steps."""
        return float(np.median(np.diff(self.times)[1:]))


@contextmanager
def without(what: str) -> Iterator[None]:
    """One optimisation switched off."""

    def in_order(lengths: Sequence[int], most_rows: int, *_: Any) -> list[list[int]]:
        return [list(range(a, min(a + most_rows, len(lengths)))) for a in range(0, len(lengths), most_rows)]

    training = "seam_pipeline.training."
    patches: dict[str, list[tuple[str, Any]]] = {
        "batches not sorted by length": [(training + "_lengths.LengthGroups.POOL", 1)],
        "micro-batches not sorted by length": [
            (training + f"{module}.length_groups", in_order) for module in ("_ppo_update", "_ppo_actor", "_ppo_reward")
        ],
        "adapters not folded": [(training + "_ppo_views._foldable", lambda *_: False)],
        "library's forward for rollouts": [(training + "_ppo_views.is_lean", lambda *_: False)],
        "reward model beside the policy": [(training + "ppo.shares_base", lambda *_: False)],
    }
    started = [patch(name, value) for name, value in patches.get(what, [])]
    for one in started:
        one.start()
    try:
        yield
    finally:
        for one in started:
            one.stop()


def measure(task: dict[str, Any]) -> dict[str, float]:
    """In a child: train some steps; seconds per step, peak memory in GiB, and tokens x passes of one step."""
    device, folder = torch.device(task["device"]), Path(task["folder"])
    torch.set_num_threads(task["threads"])
    watch, out = Watch(device), folder / "out"
    with without(task["what"]):
        passes = {"sft": _sft, "reward": _reward, "ppo": _ppo}[task["part"]](task, folder, out, watch)
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
    peak = peak or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": watch.seconds, "gib": peak / 2**30, "token_passes": passes}


def _sft(task: dict[str, Any], folder: Path, out: Path, watch: Watch) -> float:
    import pyarrow as pa

    from seam_pipeline import tables
    from seam_pipeline.training.sft import train_policy

    rows = _rows(task, ("golden_response",))
    table = pa.Table.from_pylist(rows, schema=tables.SFT)
    settings = SFT(batch_size=task["batch"], max_length=512, lora=LORA)
    found = train_policy(folder / "base", table, table.slice(0, 1), len(rows), settings, out, 0, task["device"], watch)
    return 4.0 * found["tokens"] / found["steps"]


def _reward(task: dict[str, Any], folder: Path, out: Path, watch: Watch) -> float:
    import pyarrow as pa

    from seam_pipeline import tables
    from seam_pipeline.training.reward import train_reward

    rows = [
        {**row, "question_id": row["id"], "chosen_score": 1, "rejected_score": 0}
        for row in _rows(task, ("chosen", "rejected"))
    ]
    table = pa.Table.from_pylist(rows, schema=tables.PREFERENCE)
    settings = RewardTraining(batch_size=task["batch"], max_length=512, lora=LORA)
    found = train_reward(
        folder / "policy", table, table.slice(0, 1), len(rows), settings, out, 0, task["device"], watch
    )
    return 4.0 * found["tokens"] / found["steps"]


def _ppo(task: dict[str, Any], folder: Path, out: Path, watch: Watch) -> float:
    import pyarrow.parquet as pq

    from seam_pipeline.training.ppo import train_ppo

    checkpointing = task["what"] == "with gradient checkpointing"
    settings = PPO(
        steps=task["steps"],
        batch_size=task["batch"],
        minibatch_size=task["batch"],
        gradient_accumulation=task["accumulation"],
        gradient_checkpointing=checkpointing,
        min_new_tokens=NEW,
        max_new_tokens=NEW,
        checkpoint_every=task["steps"],
        lora=LORA,
    )
    prompts = _texts(8 * task["batch"])
    train_ppo(folder / "policy", folder / "reward", prompts, settings, out, 0, task["device"], watch)
    metrics = pq.read_table(out / "metrics.parquet").to_pydict()
    tokens = task["batch"] * (np.mean(metrics["prompt_length"]) + np.mean(metrics["response_length"]))
    backward = 3 if checkpointing else 2
    return float(tokens * (3 * 2 + settings.epochs * 2 * backward))


def _rows(task: dict[str, Any], sides: tuple[str, ...]) -> list[dict[str, Any]]:
    count = task["steps"] * task["batch"]
    prompts, *answers = (_texts(count * (1 + len(sides)))[side :: 1 + len(sides)] for side in range(1 + len(sides)))
    return [
        {"id": str(i), "split": "train", "instruction": prompts[i]}
        | {side: f"{answers[n][i]} {i}" for n, side in enumerate(sides)}
        for i in range(count)
    ]


def matmul_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP per second of a large square matmul."""
    size = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    watch = Watch(device)
    for _ in range(8):
        a @ b
        watch()
    return 2 * size**3 / watch.seconds


def table(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """The lines of the report."""
    device, dtype = torch.device(options.device), getattr(torch, options.dtype)
    torch.set_num_threads(options.threads)
    parameters = make_base(folder, options.shape, dtype, device)
    rate = matmul_rate(device, dtype)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {options.threads} threads"
    yield f"## {datetime.date.today()}: {name}, {platform.machine()}"
    yield (
        f"\n`python benchmarks/gpu.py {' '.join(sys.argv[1:])}`; torch {torch.__version__}, transformers "
        f"{transformers.__version__}, {options.dtype}; {parameters / 1e6:.1f} M parameters without embeddings, batch "
        f"{options.batch}, load average {os.getloadavg()[0]:.1f}. Square matmul: {rate / 1e12:.2f} TFLOP/s.\n"
    )
    yield "| part | | steps/s | s/step | peak GiB | share of the matmul rate |"
    yield "|---|---|---|---|---|---|"
    for part in options.parts:
        missing = [p for p in ("trl", "datasets") if part != "ppo" and importlib.util.find_spec(p) is None]
        if missing:
            yield f"| {part} | not measured: {', '.join(missing)} not installed | | | | |"
            continue
        for what in PARTS[part]:
            yield _line(options, folder, part, what, parameters, rate)


def _line(options: argparse.Namespace, folder: Path, part: str, what: str, parameters: int, rate: float) -> str:
    task = {"part": part, "what": what, "folder": str(folder), **vars(options), "out": None}
    child = [sys.executable, __file__, "--child", json.dumps(task, default=str)]
    ran = subprocess.run(child, capture_output=True, text=True, check=False)
    if ran.returncode:
        reason = ran.stderr.strip().splitlines()[-1] if ran.stderr.strip() else f"exit status {ran.returncode}"
        return f"| {part} | {what} | failed: {reason[:120]} | | | |"
    found = json.loads(ran.stdout.strip().splitlines()[-1])
    share = found["token_passes"] * parameters / found["seconds"] / rate
    return (
        f"| {part} | {what} | {1 / found['seconds']:.3f} | {found['seconds']:.2f} | {found['gib']:.2f} | {share:.0%} |"
    )


def main() -> None:
    """Print the table, and write it where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=ALL, default="tiny")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--accumulation", type=int, default=1, help="micro-batches per PPO update")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="Markdown file to write as well")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(measure(json.loads(options.child))))
        return
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        for line in table(options, Path(folder)):
            print(line, flush=True)
            lines.append(line)
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
