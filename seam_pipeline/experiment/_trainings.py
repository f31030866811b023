"""Trainings that could only fail: their batches, processes and lengths contradict each other."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ._base_sizes import on_base

if TYPE_CHECKING:
    from .schema import Experiment


def check_trainings(e: "Experiment") -> None:
    """Raises ValueError for what a training or a sampling would refuse whatever the data and the machine."""
    _check_processes(e)
    for where, experiment in _on_every_base(e):
        _check_batches(experiment)
        _check_scratch(experiment, where)


def _on_every_base(e: "Experiment") -> Iterator[tuple[str, "Experiment"]]:
    yield "base", e
    sizes = e.findings.base_sizes
    for name in sizes.bases if sizes else ():
        yield f"findings.base_sizes.bases.{name}", on_base(e, name)


def _known_processes(e: "Experiment") -> int:
    """Of one training, as far as the file tells."""
    return e.compute.processes or 1 if e.compute.launcher == "accelerate" else 1


def _check_processes(e: "Experiment") -> None:
    processes = _known_processes(e)
    if processes == 1:
        return
    if ":" in e.compute.device:
        raise ValueError(
            f"compute.device: {e.compute.device} is one GPU, but compute.processes is {processes}; say cuda"
        )
    if e.rl.algorithm == "ppo" and e.rl.ppo.minibatch_size < processes:
        raise ValueError(
            f"rl.ppo.minibatch_size: {e.rl.ppo.minibatch_size} is less than the {processes} processes that share it; "
            "raise it or lower compute.processes"
        )
    if e.compute.fsdp and (e.rl.algorithm != "ppo" or e.rl.dpo is not None):
        raise ValueError(
            "compute.fsdp: DPO, RLOO and GRPO need the whole base in each process; set it to false, or leave them out"
        )
    if e.compute.fsdp and e.rl.ppo.dtype in ("4bit", "8bit"):
        raise ValueError(f"compute.fsdp: a {e.rl.ppo.dtype} base cannot be divided; set rl.ppo.dtype, or fsdp to false")


def _check_batches(e: "Experiment") -> None:
    batches = {
        "policy.sft": e.policy.sft,
        "reward.training": e.reward.training,
        "rl.dpo": e.rl.dpo,
        "rl.group": None if e.rl.algorithm == "ppo" else e.rl.group,
    }
    for where, settings in batches.items():
        if settings is None:
            continue
        pieces, processes = settings.gradient_accumulation, _known_processes(e)
        if settings.batch_size % (parts := math.lcm(pieces, processes)):
            raise ValueError(
                f"{where}.batch_size: {settings.batch_size} cannot be divided into {parts} equal micro-batches "
                f"(gradient_accumulation {pieces}, processes {processes}); change one of them"
            )


def _check_scratch(e: "Experiment", where: str) -> None:
    scratch = e.base.scratch
    if scratch is None:
        return
    if scratch.block_size > scratch.max_length:
        raise ValueError(
            f"{where}.scratch.block_size: {scratch.block_size} is longer than max_length {scratch.max_length}; lower it"
        )
    if scratch.hidden_size % (2 * scratch.heads):
        raise ValueError(
            f"{where}.scratch.hidden_size: {scratch.hidden_size} gives {scratch.heads} heads no equal and even width; "
            "make it a multiple of twice the heads"
        )
    wanted = {"evaluation": e.evaluation.max_new_tokens}
    if e.rl.algorithm == "ppo" and where == "base":
        wanted["rl.ppo"] = e.rl.ppo.max_new_tokens
    for setting, tokens in wanted.items():
        if tokens >= scratch.max_length:
            raise ValueError(
                f"{setting}.max_new_tokens: {tokens} leave no room for a prompt in the {scratch.max_length} tokens of "
                f"{where}.scratch.max_length; lower it"
            )
