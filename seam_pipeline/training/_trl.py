"""TRL trainers without their noise: arguments, recording, progress."""

import dataclasses
import math
import os
from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback

from ..errors import SeamError
from ..models._compat import quiet
from ..progress import Progress
from ._examples import Examples


class Schedule(NamedTuple):
    """Optimizer steps and how each batch is divided."""

    steps: int
    micro_batch: int
    accumulation: int


def schedule(settings: Any, examples: int, steps: int | None = None) -> Schedule:
    """Steps for `epochs` passes over the examples, and at least `min_steps`; or exactly `steps`.

    Raises SeamError when the micro-batches don't divide the batch.
    """
    workers = int(os.environ.get("WORLD_SIZE", "1"))
    parts = settings.gradient_accumulation * workers
    if settings.batch_size % parts:
        raise SeamError(f"batch_size {settings.batch_size} is no multiple of gradient_accumulation x processes = {parts}.")
    wanted = steps if steps is not None else max(settings.min_steps, per_epoch(settings, examples) * settings.epochs)
    return Schedule(wanted, settings.batch_size // parts, settings.gradient_accumulation)


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
        args = config_class(output_dir=scratch, **_arguments(config_class, plan, settings, seed, device), **more)
        trainer = trainer_class(
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


def _arguments(
    config_class: Any, plan: Schedule, settings: Any, seed: int, device: torch.device
) -> dict[str, Any]:
    known = {field.name for field in dataclasses.fields(config_class)}
    grouping: dict[str, Any] = {"group_by_length": True}
    if "train_sampling_strategy" in known:
        grouping = {"train_sampling_strategy": "group_by_length"}
    return grouping | {
        "per_device_train_batch_size": plan.micro_batch,
        "gradient_accumulation_steps": plan.accumulation,
        "max_steps": plan.steps,
        "learning_rate": settings.learning_rate,
        "warmup_steps": settings.warmup_steps if hasattr(settings, "warmup_steps") else 0,
        "max_length": None,
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
