"""Checkpoints of a PPO run: complete or absent, without pickles, pruned to the newest."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file
from torch import Tensor

from ..experiment import PPO
from ..models.content import model_content
from . import _checkpoint
from ._checkpoint import moments, restore_moments, run_of, save_tensors, save_whole
from ._ppo_actor import Actor

METRICS, ADAPTER = "metrics.parquet", "adapter"
OPTIMIZER, GOOD = "optimizer.safetensors", "good.safetensors"


class Saved(NamedTuple):
    """A complete checkpoint: `step` steps are done."""

    folder: Path
    step: int
    kl_coefficient: float
    metrics: list[dict[str, Any]]


def fingerprint(
    settings: PPO, seed: int, policy: str | Path, reward: str | Path, prompts: Sequence[str], device: torch.device
) -> str:
    """A hash of all that decides a run's numbers; a checkpoint of another run is not continued."""
    return run_of(settings, seed, model_content(policy), model_content(reward), list(prompts), device.type)


def save_checkpoint(
    folder: Path,
    actor: Actor,
    optimizer: torch.optim.Optimizer,
    metrics: Sequence[dict[str, Any]],
    kl_coefficient: float,
    good: Sequence[Tensor],
    run: str,
) -> None:
    """Write `folder/<step>`: adapter, value head, optimizer moments, KL coefficient, metrics; then drop older ones.

    The last good weights too: those now were not yet sampled from. It appears under its name by one rename when it is
    complete. Raises SeamError when the disk is full.
    """

    def fill(new: Path) -> dict[str, Any]:
        actor.save(new, new / ADAPTER)
        save_tensors(moments(optimizer), new / OPTIMIZER)
        save_tensors({f"{number:06d}": weight for number, weight in enumerate(good)}, new / GOOD)
        write_metrics(metrics, new / METRICS)
        return {"step": len(metrics), "kl_coefficient": kl_coefficient, "run": run}

    save_whole(folder, len(metrics), fill)


def newest(folder: Path, run: str) -> Saved | None:
    """The newest complete checkpoint of this very run, if any; half-written ones are ignored."""
    found = _checkpoint.newest(folder, run)
    if found is None:
        return None
    place, state = found
    metrics = pq.read_table(place / METRICS).to_pylist()
    return Saved(place, int(state["step"]), float(state["kl_coefficient"]), metrics)


def good_weights(folder: Path, device: torch.device) -> list[Tensor]:
    """The last good weights of a checkpoint, as `Actor.weights` gave them."""
    return [weight.to(device) for _, weight in sorted(load_file(folder / GOOD).items())]


def restore_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Put the saved moments back."""
    restore_moments(optimizer, folder / OPTIMIZER)


def write_metrics(metrics: Sequence[dict[str, Any]], file: Path) -> None:
    """One row per step; integers where all are, else float64."""
    pq.write_table(pa.Table.from_pylist(list(metrics)), file)
