"""One training in several processes (torch.distributed, one per GPU): who writes, and what is shared.

Every process makes the same calls in the same order. Alone, each function here does nothing or gives back its argument.
"""

import math
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import SeamError
from ..models.stack import as_device

SPLITTING = ("DEEPSPEED", "MEGATRON_LM")
FSDP = "ACCELERATE_USE_FSDP"
_division = {"asked": False}


def world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """This process's number, from 0."""
    return dist.get_rank() if world() > 1 else 0


def is_main() -> bool:
    """Whether this is the process that writes files and reports."""
    return rank() == 0


def divides() -> bool:
    """Whether the processes divide the frozen base among them (`_divided.py`)."""
    return _division["asked"] and world() > 1


def join(device: str | torch.device) -> torch.device:
    """The device of this process; joins the others where a launcher (accelerate, torchrun) has started several.

    FSDP, asked for by accelerate's variable, is ours: the variable is taken away before the library sees it.
    Raises SeamError for a GPU of one's own choice among several processes, and for other ways to split a model.
    """
    where = as_device(device)
    if split := next((name for name in SPLITTING if os.environ.get(f"ACCELERATE_USE_{name}", "") == "true"), None):
        raise SeamError(
            f"The accelerate config asks for {split}, which these trainings do not know; "
            "choose distributed_type MULTI_GPU or FSDP."
        )
    if os.environ.pop(FSDP, "").lower() == "true":
        _division["asked"] = True
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return where
    if where.index is not None:
        raise SeamError(f"compute.device {where} is one GPU, but several processes train; set it to cuda.")
    if not dist.is_initialized():
        from accelerate import PartialState

        PartialState(cpu=where.type == "cpu")
    if where.type == "cuda":
        where = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        torch.cuda.set_device(where)
    return where


def check_one_gpu(device: torch.device) -> None:
    """Raises SeamError where one process sees several GPUs: the library would split each batch among them."""
    if device.type == "cuda" and torch.cuda.device_count() > 1 and "WORLD_SIZE" not in os.environ:
        raise SeamError("Several GPUs are visible; set CUDA_VISIBLE_DEVICES to one, or compute.launcher to accelerate.")


def barrier() -> None:
    """Wait for the others."""
    if world() > 1:
        dist.barrier()


def agreed(value: Any) -> Any:
    """The main process's value (anything small that pickles), in every process."""
    if world() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gathered(value: Any) -> list[Any]:
    """Every process's value, in the order of their numbers."""
    if world() == 1:
        return [value]
    boxes: list[Any] = [None] * world()
    dist.all_gather_object(boxes, value)
    return boxes


def share(rows: Sequence[Any]) -> list[Any]:
    """This process's part of rows that all of them have: every world-th one."""
    return list(rows[rank() :: world()])


def in_order(parts: Sequence[Sequence[Any]]) -> list[Any]:
    """Rows from the parts that `share` made."""
    whole: list[Any] = [None] * sum(map(len, parts))
    for number, part in enumerate(parts):
        whole[number :: len(parts)] = part
    return whole


@torch.no_grad()
def sum_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Every gradient becomes the sum over all processes; a missing one counts as zero."""
    if world() == 1:
        return
    wanted = list(parameters)
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten().float() for p in wanted])
    dist.all_reduce(flat)
    for parameter, piece in zip(wanted, flat.split([p.numel() for p in wanted]), strict=True):
        parameter.grad = piece.view_as(parameter).to(parameter.dtype)


@torch.no_grad()
def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Every gradient becomes the mean over all processes."""
    wanted = list(parameters)
    sum_gradients(wanted)
    for parameter in wanted:
        assert parameter.grad is not None
        parameter.grad /= world()


def summed(values: Tensor) -> Tensor:
    """The sum over all processes."""
    if world() > 1:
        dist.all_reduce(values := values.clone())
    return values


def largest(value: Tensor) -> Tensor:
    """The largest over all processes, element by element."""
    if world() > 1:
        dist.all_reduce(value := value.clone(), dist.ReduceOp.MAX)
    return value


class Pieces(NamedTuple):
    """How a batch is divided: rows at once, and how many such pieces each process makes."""

    micro_batch: int
    accumulation: int


def pieces(batch_size: int, gradient_accumulation: int) -> Pieces:
    """Divide a batch among all processes into at least `gradient_accumulation` micro-batches.

    Raises SeamError when the batch can't be divided evenly.
    """
    parts = math.lcm(gradient_accumulation, world())
    if batch_size % parts:
        processes = f" in {world()} processes" if world() > 1 else ""
        raise SeamError(
            f"batch_size {batch_size} cannot be divided into {parts} equal micro-batches (gradient_accumulation "
            f"{gradient_accumulation}{processes}); change one of them."
        )
    return Pieces(batch_size // parts, parts // world())
