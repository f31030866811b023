"""Which device a setting means, and whether it is there."""

from ..errors import SeamError


def find_device(name: str, setting: str) -> str:
    """`auto` is the first GPU, else the CPU; other names stay as they are.

    Raises SeamError, with the setting's name, for a CUDA device that torch does not see.
    """
    import torch

    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if seen else "cpu"
    if name.startswith("cuda") and int(name.partition(":")[2] or 0) >= seen:
        there = f"only cuda:0 to cuda:{seen - 1}" if seen > 1 else "only cuda:0" if seen else "no CUDA device"
        raise SeamError(
            f"{setting} {name} was asked for, but torch sees {there}; use auto or cpu, or one that is there."
        )
    return name
