"""Options that several commands share."""

import os
import re
from collections.abc import Callable
from typing import Any, get_args

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


def models_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--policy` and `--reward`."""
    reward = click.option("--reward", required=True, metavar="DIR|ID", help="The same, with one reward label.")
    policy = click.option(
        "--policy", required=True, metavar="DIR|ID", help="HF folder, PEFT adapter, model folder of a study, or hub id."
    )
    return policy(reward(command))


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """How both models read: `--max-prompt-tokens`, `--max-response-tokens`, `--tokens-per-batch`, `--load-in`."""
    options = (
        click.option(
            "--max-prompt-tokens", type=click.IntRange(1), help="Cut longer prompts from the left. Default: no cut."
        ),
        click.option("--max-response-tokens", type=click.IntRange(1), help="Cut longer responses. Default: no cut."),
        click.option(
            "--tokens-per-batch",
            type=click.IntRange(64),
            default=8192,
            show_default=True,
            help="Speed and memory only.",
        ),
        click.option(
            "--load-in",
            type=click.Choice(["float32", "bfloat16", "float16", "8bit", "4bit"]),
            help="Precision of both models; 8bit and 4bit need bitsandbytes. Default: the checkpoints' own.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def rate_option(what: str) -> Decorator:
    """`--rate`, the share of the lowest instructions."""
    share = click.FloatRange(0, 1, min_open=True, max_open=True)
    return click.option("--rate", default=0.2, show_default=True, type=share, help=what)


def form_option(what: str) -> Decorator:
    """`--form`, one of SEAM's."""
    from ..experiment import Form

    return click.option("--form", default="log", show_default=True, type=click.Choice(get_args(Form)), help=what)


def device_option() -> Decorator:
    """`--device`."""
    return click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")


def pick_device(name: str) -> str:
    """Resolve `auto`. Raises SeamError for an unknown device and a CUDA device that is not there."""
    from ..errors import SeamError
    from ..models.device import find_device

    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise SeamError(f"--device {name} is unknown; give auto, cpu, cuda or cuda:N.")
    return find_device(name, "--device")
