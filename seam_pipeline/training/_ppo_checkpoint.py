"""Checkpoints of a PPO run: complete or absent, without pickles, pruned to the newest."""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import SeamError
from ..experiment import PPO
from ..models.content import content_hash
from ._ppo_actor import Actor

STATE, METRICS, ADAPTER = "state.json", "metrics.parquet", "adapter"
OPTIMIZER, GOOD = "optimizer.safetensors", "good.safetensors"
UNWRITTEN = (OSError, SafetensorError)
"""What a full disk raises: Python's and pyarrow's error, or that of safetensors."""
SPEED_ONLY = {"checkpoint_every"}


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
    inputs = {
        "settings": settings.model_dump(mode="json", exclude=SPEED_ONLY),
        "seed": seed,
        "models": [content_hash(Path(path)) if Path(path).exists() else str(path) for path in (policy, reward)],
        "prompts": list(prompts),
        "device": device.type,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


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
    step = len(metrics)
    new, final = folder / f".{step:08d}", folder / f"{step:08d}"
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        actor.save(new, new / ADAPTER)
        save_file(_moments(optimizer), new / OPTIMIZER)
        save_file({f"{number:06d}": weight.cpu() for number, weight in enumerate(good)}, new / GOOD)
        write_metrics(metrics, new / METRICS)
        state = {"step": step, "kl_coefficient": kl_coefficient, "run": run}
        (new / STATE).write_text(json.dumps(state, indent=1) + "\n", "utf-8")
        _flush(new)
        if final.exists():
            shutil.rmtree(final)
        new.rename(final)
    except UNWRITTEN as error:
        shutil.rmtree(new, ignore_errors=True)
        raise unwritten("checkpoint", final, error) from error
    for other in folder.iterdir():
        if other != final:
            shutil.rmtree(other, ignore_errors=True)


def unwritten(what: str, path: Path, error: Exception) -> SeamError:
    """The sentence for a full disk."""
    why = getattr(error, "strerror", None) or str(error).splitlines()[0]
    return SeamError(
        f"Cannot write PPO's {what} {path} ({why}); free some space and run again: it continues from the last complete "
        "checkpoint."
    )


def newest(folder: Path, run: str) -> Saved | None:
    """The newest complete checkpoint of this very run, if any; half-written ones are ignored."""
    for place in sorted(folder.glob("[0-9]*"), reverse=True):
        state = json.loads((place / STATE).read_text("utf-8"))
        if state["run"] == run:
            metrics = pq.read_table(place / METRICS).to_pylist()
            return Saved(place, int(state["step"]), float(state["kl_coefficient"]), metrics)
    return None


def good_weights(folder: Path, device: torch.device) -> list[Tensor]:
    """The last good weights of a checkpoint, as `Actor.weights` gave them."""
    return [weight.to(device) for _, weight in sorted(load_file(folder / GOOD).items())]


def restore_optimizer(optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Put the saved moments back."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for key, value in load_file(folder / OPTIMIZER).items():
        number, name = key.split(".")
        parameter = parameters[int(number)]
        optimizer.state[parameter][name] = value.to(parameter.device)


def write_metrics(metrics: Sequence[dict[str, Any]], file: Path) -> None:
    """One row per step; integers where all are, else float64."""
    pq.write_table(pa.Table.from_pylist(list(metrics)), file)


def _moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return {
        f"{number}.{name}": value.detach().cpu().contiguous()
        for number, parameter in enumerate(parameters)
        for name, value in sorted(optimizer.state[parameter].items())
    }


def _flush(folder: Path) -> None:
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
