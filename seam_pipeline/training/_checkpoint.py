"""Checkpoints of trainings: complete or absent, without pickles, the newest only."""

import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import SeamError
from ..experiment import fingerprint
from ..experiment._base import Settings

STATE = "state.json"
UNWRITTEN = (OSError, SafetensorError)
"""What a full disk raises: Python's and pyarrow's error, or that of safetensors."""


def run_of(settings: Settings, *parts: Any) -> str:
    """A hash of all that decides a run's numbers: its settings, speed-only ones left out, and JSON-able parts."""
    return hashlib.sha256(json.dumps([fingerprint(settings), *parts], sort_keys=True).encode()).hexdigest()


def save_whole(folder: Path, step: int, fill: Callable[[Path], dict[str, Any]]) -> None:
    """Write `folder/<step>` and drop older ones; it appears by one rename when all of it is on disk.

    `fill` writes its files into the folder that it gets and returns what goes into `state.json`.
    Raises SeamError when the disk is full; the last complete checkpoint stays.
    """
    new, final = folder / f".{step:08d}", folder / f"{step:08d}"
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        (new / STATE).write_text(json.dumps(fill(new)) + "\n", "utf-8")
        for file in new.rglob("*"):
            if file.is_file():
                with file.open("rb") as stream:
                    os.fsync(stream.fileno())
        shutil.rmtree(final, ignore_errors=True)
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
        f"Cannot write the {what} {path} ({why}); free some space and run again: it continues from the last complete "
        "checkpoint."
    )


def newest(folder: Path, run: str) -> tuple[Path, dict[str, Any]] | None:
    """Folder and state of the newest complete checkpoint whose state says `run`; half-written ones are ignored."""
    for place in sorted(folder.glob("[0-9]*"), reverse=True):
        state = json.loads((place / STATE).read_text("utf-8"))
        if state["run"] == run:
            return place, state
    return None


def save_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Safetensors of detached copies on the CPU."""
    save_file({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}, file)


def moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as `<number of the parameter>.<name>`."""
    return {
        f"{number}.{name}": value
        for number, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"])
        for name, value in sorted(optimizer.state[parameter].items())
    }


def restore_moments(optimizer: torch.optim.Optimizer, file: Path) -> None:
    """Put saved moments back."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(file).items():
        number, name = key.split(".")
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def random_state() -> dict[str, Any]:
    """The states of Python's, NumPy's and torch's generators, as JSON."""
    name, keys, *rest = np.random.get_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": random.getstate(),
        "numpy": [name, np.asarray(keys).tolist(), *rest],
        "torch": torch.get_rng_state().tolist(),
        "cuda": [state.tolist() for state in cuda],
    }


def restore_random(state: dict[str, Any]) -> None:
    """Put generators back to a saved state."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(torch.tensor(state["torch"], dtype=torch.uint8))
    if state["cuda"]:
        torch.cuda.set_rng_state_all([torch.tensor(one, dtype=torch.uint8) for one in state["cuda"]])
