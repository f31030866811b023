"""Options that several commands share."""

import os
from collections.abc import Callable
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def experiment_option() -> Decorator:
    """`-e NAME|PATH`, by default SEAM_EXPERIMENT, then the testbed."""
    return click.option(
        "-e",
        "--experiment",
        "experiment_name",
        metavar="NAME|PATH",
        help="Shipped experiment (smoke, testbed, stackexchange, paper) or a YAML file; by default $SEAM_EXPERIMENT, "
        "then testbed.",
    )


def data_option() -> Decorator:
    """`--data PATH`, several times: fills in the experiment's $SEAM_DATA."""

    def use(_context: click.Context, _parameter: click.Parameter, paths: tuple[str, ...]) -> None:
        if paths:
            os.environ["SEAM_DATA"] = os.pathsep.join(os.path.abspath(p) for p in paths)

    return click.option(
        "--data",
        multiple=True,
        type=click.Path(exists=True),
        expose_value=False,
        callback=use,
        help="Dump, folder or table for an experiment whose data.paths is $SEAM_DATA; may be repeated.",
    )


def device_option() -> Decorator:
    """`--device`."""
    return click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")


def pick_device(name: str) -> str:
    """Resolve `auto`. Raises SeamError for a CUDA device that is not there."""
    import torch

    from ..errors import SeamError

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise SeamError(f"--device {name}: torch sees no CUDA device; use --device cpu.")
    return name
