"""TRL trainers without their noise: arguments, recording, progress."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from transformers import PrinterCallback, TrainerCallback

from ..errors import SeamError
from ..models._compat import quiet, window_of
from ..models.adapters import AdapterStack
from ..progress import Progress
from ._early import EarlyStop
from ._examples import Examples
from ._parallel import check_one_gpu, is_main, pieces
from ._trl_resume import Checkpoints, grouped, resumable
from .watch import Watch, unwatched


class Schedule(NamedTuple):
    """Optimizer steps and how each batch is divided: examples at once, and how often in each process."""

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
    parts = pieces(settings.batch_size, settings.gradient_accumulation)
    least = getattr(settings, "min_steps", 0)
    wanted = steps if steps is not None else max(least, per_epoch(settings, examples) * settings.epochs)
    return Schedule(wanted, *parts)


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

    def __init__(self, names: Sequence[str], progress: Progress, watch: Watch = unwatched) -> None:
        self.names = tuple(names)
        self.progress = progress
        self.watch = watch
        self.early: EarlyStop | None = None
        self.rows: list[dict[str, float]] = []

    def state(self, folder: Path) -> dict[str, Any]:
        """What a checkpoint keeps of this."""
        early = self.early.state(folder) if self.early else None
        return {"rows": self.rows, "early": early}

    def restore(self, state: dict[str, Any], folder: Path) -> None:
        """Go on from a checkpoint."""
        self.rows = state["rows"]
        if self.early:
            self.early.restore(state["early"], folder)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Record one step. Raises SeamError when the loss is no longer a number."""
        if not logs or "loss" not in logs:
            return
        if not math.isfinite(float(logs["loss"])):
            raise SeamError(f"The loss is {logs['loss']} at step {state.global_step}; lower the learning rate.")
        self.rows.append({"step": state.global_step} | {name: float(logs[name]) for name in self.names if name in logs})
        if is_main():
            self.watch(self.rows[-1])

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell how far it is."""
        if is_main():
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
    checkpoints: Checkpoints,
    *,
    seed: int,
    device: torch.device,
    **more: Any,
) -> None:
    """Train the model's trainable weights in place, from the newest checkpoint of the same run if there is one."""
    check_one_gpu(device)
    with TemporaryDirectory() as scratch, quiet():
        quietly = common(device, seed, checkpoints.every)
        args = config_class(output_dir=scratch, **quietly, **_arguments(plan, settings), **more)
        trainer = resumable(grouped(trainer_class, checkpoints, settings), checkpoints, recorder)(
            model=model,
            args=args,
            train_dataset=Dataset.from_dict(examples.columns),
            processing_class=tokenizer,
            callbacks=[recorder, *([recorder.early] if recorder.early else [])],
        )
        trainer.remove_callback(PrinterCallback)
        model.train()
        trainer.train(resume_from_checkpoint=os.fspath(checkpoints.found[0]) if checkpoints.found else None)
        model.eval()
    vars(model).pop("forward", None)


def _arguments(plan: Schedule, settings: Any) -> dict[str, Any]:
    return {
        "per_device_train_batch_size": plan.micro_batch,
        "gradient_accumulation_steps": plan.accumulation,
        "max_steps": plan.steps,
        "learning_rate": settings.learning_rate,
        "warmup_steps": settings.warmup_steps if hasattr(settings, "warmup_steps") else 0,
        "max_length": None,
    }


def common(device: torch.device, seed: int, save_every: int) -> dict[str, Any]:
    """Arguments that all trainers share: quiet, nothing written but our checkpoints, every step logged."""
    return {
        "remove_unused_columns": False,
        "seed": seed,
        "data_seed": seed,
        "use_cpu": device.type == "cpu",
        "bf16": False,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": device.type == "cuda",
        "ddp_find_unused_parameters": False,
        "save_strategy": "steps",
        "save_steps": save_every,
        "eval_strategy": "no",
        "logging_steps": 1,
        "logging_first_step": False,
        "logging_nan_inf_filter": False,
        "report_to": [],
        "disable_tqdm": True,
        "log_level": "error",
    }
