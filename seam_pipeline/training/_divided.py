"""The frozen base divided among a training's processes (FSDP): a layer's weights are put together when it runs.

Adapters, heads and embeddings stay whole on each process, so everything that reads or writes them stays as it is; the
gradients of what is trained are summed by ours, not by a wrapper. A layer is a meeting of all processes: each must run
as many forwards, and as many backwards, as the others (`in_step`, `anywhere`).
"""

from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from ..errors import SeamError
from ..models._compat import layers_of, trunk_of
from ..models.adapters import AdapterStack
from ._parallel import divides, largest, world


def host(device: torch.device) -> torch.device:
    """Where the base is loaded: on the host when it will be divided, since a GPU need not hold it whole."""
    return torch.device("cpu") if divides() else device


def divide_base(stack: AdapterStack, device: torch.device) -> None:
    """Divide the decoder layers' weights among all processes, and put the rest on `device`; alone, nothing is done.

    To be called when all adapters are there. Raises SeamError for a quantised base, and one without a list of layers.
    """
    if not divides():
        return
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    if getattr(stack.model, "is_quantized", False):
        raise SeamError("A 4bit or 8bit base cannot be divided among processes; set dtype, or compute.fsdp to false.")
    mesh, trunk = init_device_mesh(device.type, (world(),)), trunk_of(stack.model)
    try:
        layers = layers_of(trunk)
    except ValueError as error:
        raise SeamError(f"The base cannot be divided among processes: {error}; set compute.fsdp to false.") from error
    for layer in layers:
        adapters = {parameter for name, parameter in layer.named_parameters() if ".lora_" in name}
        fully_shard(layer, mesh=mesh, ignored_params=adapters)
    # The root divides nothing more; through it the layers fetch the next one's weights while they compute.
    fully_shard(trunk, mesh=mesh, ignored_params={p for p in trunk.parameters() if not is_divided(p)})
    for tensor in (*stack.model.parameters(), *stack.model.buffers()):
        if not is_divided(tensor):
            tensor.data = tensor.data.to(device)
    stack.device = device


def is_divided(tensor: Tensor) -> bool:
    """Whether this process holds a part of the tensor only."""
    from torch.distributed.tensor import DTensor

    return isinstance(tensor, DTensor)


def in_step(groups: Sequence[list[int]]) -> list[tuple[list[int], bool]]:
    """The groups, each with True, after as many idle ones (a single row, False) as the busiest process has more."""
    spare = anywhere(len(groups)) - len(groups)
    return [*[(groups[0][:1], False)] * spare, *((group, True) for group in groups)]


def anywhere(count: int) -> int:
    """The largest count of all processes where they must keep step, else this one's."""
    if not divides():
        return count
    meeting = "cuda" if dist.get_backend() == "nccl" else "cpu"
    return int(largest(torch.tensor(count, device=meeting)))
