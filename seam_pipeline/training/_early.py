"""Early stopping on held-out data: training ends when it no longer gets better, and the best weights are kept."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import TrainerCallback

from ._checkpoint import save_tensors
from ._parallel import agreed

BEST = "best.safetensors"


class EarlyStop(TrainerCallback):
    """Measures `loss` every `every` steps; after `patience` measurements without a new best one it ends training."""

    def __init__(
        self, loss: Callable[[], float], trained: Sequence[torch.nn.Parameter], every: int, patience: int
    ) -> None:
        self.loss, self.trained, self.every, self.patience = loss, list(trained), every, patience
        self.losses: dict[int, float] = {}
        self.best: list[Tensor] = []

    @property
    def best_step(self) -> int:
        """The step with the lowest loss, the earliest of equals; 0 before the first measurement."""
        return min(self.losses, key=lambda step: (self.losses[step], step)) if self.losses else 0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Measure when it is time, and after the last step."""
        step = int(state.global_step)
        if step % self.every and step < state.max_steps:
            return
        value = agreed(self.loss())
        self.losses[step] = value if math.isfinite(value) else math.inf
        if self.best_step == step:
            self.best = [parameter.detach().clone() for parameter in self.trained]
        if sum(at > self.best_step for at in self.losses) >= self.patience:
            control.should_training_stop = True

    @torch.no_grad()
    def put_best(self) -> None:
        """The weights of the best step back into the model."""
        for parameter, value in zip(self.trained, self.best, strict=bool(self.best)):
            parameter.copy_(value)

    def state(self, folder: Path) -> dict[str, Any]:
        """What a checkpoint keeps of this; the best weights go into a file."""
        save_tensors({str(number): value for number, value in enumerate(self.best)}, folder / BEST)
        return {"losses": list(self.losses.items())}

    def restore(self, state: dict[str, Any], folder: Path) -> None:
        """Go on from a checkpoint."""
        self.losses = {int(step): float(loss) for step, loss in state["losses"]}
        found = load_file(folder / BEST)
        self.best = [found[str(n)].to(self.trained[n].device) for n in range(len(found))]
