"""TRL trainers without their noise: arguments, recording, progress."""

import math
import os
import random
from collections.abc import Iterator, Sequence
from itertools import chain
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from torch.utils.data import Sampler
from transformers import PrinterCallback, TrainerCallback

from ..errors import SeamError
from ..models._compat import quiet, window_of
from ..models.adapters import AdapterStack
from ..progress import Progress
from ._examples import Examples


class Schedule(NamedTuple):
    """Optimizer steps and how each batch is divided."""

    steps: int
    micro_batch: int
    accumulation: int


def longest(stack: AdapterStack, wanted: int) -> int:
    """Tokens per text: the setting, or the model's window when that is shorter."""
    return min(wanted, window_of(stack.model) or wanted)


def schedule(settings: Any, examples: int, steps: int | None = None) -> Schedule:
    """Steps for `epochs` passes over the examples, and at least `min_steps`; or exactly `steps`.

    Raises SeamError when the micro-batches don't divide the batch.
    """
    workers = int(os.environ.get("WORLD_SIZE", "1"))
    parts = settings.gradient_accumulation * workers
    if settings.batch_size % parts:
        raise SeamError(
            f"batch_size {settings.batch_size} is no multiple of gradient_accumulation x processes = {parts}."
        )
    wanted = steps if steps is not None else max(settings.min_steps, per_epoch(settings, examples) * settings.epochs)
    return Schedule(wanted, settings.batch_size // parts, settings.gradient_accumulation)


def examples_seen(settings: Any, examples: int, steps: int) -> int:
    """How many examples the steps have read, repetitions included."""
    if not examples:
        return 0
    passes, rest = divmod(steps, per_epoch(settings, examples))
    return passes * examples + min(rest * settings.batch_size, examples)


def per_epoch(settings: Any, examples: int) -> int:
    """Optimizer steps of one pass."""
    return math.ceil(examples / settings.batch_size)


class Recorder(TrainerCallback):
    """Keeps the logged numbers of each step, and reports progress."""

    def __init__(self, names: Sequence[str], progress: Progress) -> None:
        self.names = tuple(names)
        self.progress = progress
        self.rows: list[dict[str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Record one step. Raises SeamError when the loss is no longer a number."""
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(float(logs["loss"])):
            raise SeamError(f"The loss is {logs['loss']} at step {state.global_step}; lower the learning rate.")
        self.rows.append({"step": state.global_step} | {name: float(logs[name]) for name in self.names if name in logs})

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell how far it is."""
        self.progress(state.global_step, state.max_steps)

    def mean_loss(self, last: int = 10) -> float | None:
        """Mean training loss of the last steps."""
        tail = [row["loss"] for row in self.rows[-last:]]
        return sum(tail) / len(tail) if tail else None


def fit(
    trainer_class: Any,
    config_class: Any,
    model: Any,
    tokenizer: Any,
    examples: Examples,
    plan: Schedule,
    settings: Any,
    recorder: Recorder,
    *,
    seed: int,
    device: torch.device,
    **more: Any,
) -> None:
    """Train the model's trainable weights in place; nothing is left on disk."""
    if device.type == "cuda" and torch.cuda.device_count() > 1 and "WORLD_SIZE" not in os.environ:
        raise SeamError("Several GPUs are visible; set CUDA_VISIBLE_DEVICES to one, or start with accelerate launch.")
    with TemporaryDirectory() as scratch, quiet():
        args = config_class(output_dir=scratch, **_arguments(plan, settings, seed, device), **more)
        trainer = _grouped(trainer_class)(
            model=model,
            args=args,
            train_dataset=Dataset.from_dict(examples.columns),
            processing_class=tokenizer,
            callbacks=[recorder],
        )
        trainer.remove_callback(PrinterCallback)
        model.train()
        trainer.train()
        model.eval()
    vars(model).pop("forward", None)


class LengthGroups(Sampler[int]):
    """Every example once an epoch, in batches of similar length that come in random order; a rest comes last."""

    POOL = 8

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = list(lengths)
        self.batch_size = batch_size
        self.random = random.Random(seed)

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        order = self.random.sample(range(len(self)), len(self))
        whole = len(order) - len(order) % self.batch_size
        pool = self.POOL * self.batch_size
        batches: list[list[int]] = []
        for start in range(0, whole, pool):
            rows = sorted(order[start : min(start + pool, whole)], key=self.lengths.__getitem__)
            batches += [rows[at : at + self.batch_size] for at in range(0, len(rows), self.batch_size)]
        self.random.shuffle(batches)
        return chain(*batches, order[whole:])


def _grouped(trainer_class: Any) -> Any:
    """The trainer with our sampler: the library's own looks lengths up one by one in an Arrow column."""

    class Grouped(trainer_class):
        def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroups:
            return LengthGroups(self.train_dataset["length"][:], self.args.train_batch_size, self.args.data_seed)

    return Grouped


def _arguments(plan: Schedule, settings: Any, seed: int, device: torch.device) -> dict[str, Any]:
    return {
        "per_device_train_batch_size": plan.micro_batch,
        "gradient_accumulation_steps": plan.accumulation,
        "max_steps": plan.steps,
        "learning_rate": settings.learning_rate,
        "warmup_steps": settings.warmup_steps if hasattr(settings, "warmup_steps") else 0,
        "max_length": None,
        "remove_unused_columns": False,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": device.type == "cpu",
        "bf16": False,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": device.type == "cuda",
        "save_strategy": "no",
        "eval_strategy": "no",
        "logging_steps": 1,
        "logging_first_step": False,
        "logging_nan_inf_filter": False,
        "report_to": [],
        "disable_tqdm": True,
        "log_level": "error",
    }
