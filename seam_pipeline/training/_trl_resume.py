"""TRL trainers that go on after a kill: same weights in the end as without it.

The library's own checkpoints are pickles and hold the whole model; ours hold what is trained.
"""

import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ._checkpoint import moments, newest, random_state, restore_moments, restore_random, save_tensors, save_whole
from ._lengths import LengthGroups
from ._parallel import average_gradients, divides, gathered, is_main, rank, world

WEIGHTS, OPTIMIZER, TRAINER = "weights.safetensors", "optimizer.safetensors", "trainer_state.json"


class Checkpoints:
    """Where a run keeps its checkpoints, and which run it is: `run` is a hash of all that decides its numbers."""

    def __init__(self, folder: Path, run: str, every: int) -> None:
        self.folder, self.run, self.every = folder, run, every
        self.found = newest(folder, run)

    @property
    def step(self) -> int:
        """Optimizer steps that a checkpoint holds; 0 without one."""
        return int(self.found[1]["step"]) if self.found else 0


def grouped(trainer_class: Any, checkpoints: Checkpoints, settings: Any) -> Any:
    """The trainer with our sampler: the library's own looks lengths up one by one in an Arrow column.

    The order of the examples depends on the settings alone, not on how many processes share them.
    """
    size = settings.batch_size // settings.gradient_accumulation

    class Grouped(trainer_class):
        def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroups:
            lengths = self.train_dataset["length"][:]
            sampler = LengthGroups(lengths, size, self.args.data_seed)
            for _ in range(checkpoints.step // -(-len(lengths) // settings.batch_size)):
                iter(sampler)
            return sampler

    return Grouped


def repeated(trainer_class: Any, checkpoints: Checkpoints) -> Any:
    """A trainer that samples answers in groups; its order of prompts goes on where the checkpoint's run was."""

    class Repeated(trainer_class):
        def _get_train_sampler(self, *arguments: Any) -> Any:
            sampler = super()._get_train_sampler(*arguments)
            batches = len(sampler) // (self.args.train_batch_size * self.args.steps_per_generation * world())
            for _ in range(checkpoints.step // max(1, batches // self.args.gradient_accumulation_steps)):
                next(iter(sampler))  # each pass over the prompts draws its order when it begins
            return sampler

    return Repeated


def resumable(trainer_class: Any, checkpoints: Checkpoints, kept: Any) -> Any:
    """The trainer with our checkpoints; `kept` has `state(folder)` and `restore(state, folder)`, saved beside."""

    class Resumable(trainer_class):
        def create_accelerator_and_postprocess(self) -> None:
            super().create_accelerator_and_postprocess()
            if divides():
                self.accelerator.prepare_model = lambda model, **_: model  # its DDP refuses divided weights

        def training_step(self, *arguments: Any, **more: Any) -> Any:
            loss = super().training_step(*arguments, **more)
            if divides() and self.accelerator.sync_gradients:
                average_gradients(_trained(self.model).values())
            return loss

        def _save_checkpoint(self, model: Any, trial: Any = None, *_: Any) -> None:
            if self.state.global_step < self.state.max_steps and not self.control.should_training_stop:
                states = gathered(random_state())
                if is_main():
                    save_whole(checkpoints.folder, self.state.global_step, lambda folder: self._fill(folder, states))

        def _fill(self, folder: Path, states: list[dict[str, Any]]) -> dict[str, Any]:
            save_tensors(_trained(self.model), folder / WEIGHTS)
            save_tensors(moments(self.optimizer), folder / OPTIMIZER)
            self.state.save_to_json(os.fspath(folder / TRAINER))
            return {
                "run": checkpoints.run,
                "step": self.state.global_step,
                "scheduler": self.lr_scheduler.state_dict(),
                "random": states,
                "kept": kept.state(folder),
            }

        def _load_from_checkpoint(self, folder: str, model: Any = None) -> None:
            weights, trained = load_file(Path(folder) / WEIGHTS), _trained(self.model)
            with torch.no_grad():
                for name, parameter in trained.items():
                    parameter.copy_(weights[name])

        def _load_optimizer_and_scheduler(self, folder: str | None) -> None:
            if folder is None:
                return
            restore_moments(self.optimizer, Path(folder) / OPTIMIZER)
            state = _found(checkpoints)
            self.lr_scheduler.load_state_dict(state["scheduler"])
            for group, rate in zip(self.optimizer.param_groups, state["scheduler"]["_last_lr"], strict=True):
                group["lr"] = rate
            kept.restore(state["kept"], Path(folder))

        def _load_scaler(self, folder: str | None) -> None:
            pass

        def _load_rng_state(self, folder: str | None) -> None:
            states = _found(checkpoints)["random"]
            restore_random(states[rank() % len(states)])

    return Resumable


def _found(checkpoints: Checkpoints) -> dict[str, Any]:
    assert checkpoints.found is not None
    return checkpoints.found[1]


def _trained(model: Any) -> dict[str, torch.nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
