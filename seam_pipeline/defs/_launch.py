"""Starting a training in processes of its own from a Dagster step, and hearing from it through Pipes."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterPipesExecutionError

from ..errors import SeamError
from ..experiment import Compute
from ..progress import Progress
from ..training.watch import Watch
from ._job import Job, Surroundings, write_job
from ._node import Launch
from ._worker import ERROR

LOG = "log.txt"
WORKER = "seam_pipeline.defs._worker"


class WorkerLostError(SeamError):
    """A training's processes ended without saying why, e.g. killed: trying again may help."""


def launcher(context: dg.AssetExecutionContext, compute: Compute, folder: Path) -> Launch | None:
    """What starts this step's trainings, below `folder`; None where they run in this process."""
    if compute.launcher == "in_process":
        return None

    def launch(job: Job, around: Surroundings, report: Progress, watch: Watch) -> None:
        place = folder / around.run.replace("/", ".")
        shutil.rmtree(place, ignore_errors=True)
        file = write_job(job, around, place)
        command = command_of(compute, around.device, file)
        context.log.info(f"training in processes of its own (their log: {place / LOG}): {' '.join(command)}")
        client = dg.PipesSubprocessClient(
            env={
                "OMP_NUM_THREADS": str(around.threads),
                "MKL_NUM_THREADS": str(around.threads),
                "ACCELERATE_USE_FSDP": str(compute.fsdp).lower(),
            },
            message_reader=_Heard(_hearing(report, watch)),
        )
        logged = [sys.executable, "-m", WORKER, "--log", str(place / LOG), *command]
        try:
            client.run(context=context, command=logged)
        except DagsterPipesExecutionError as error:
            raise _failure(place, job.kind, str(error)) from error
        shutil.rmtree(place)

    return launch


def command_of(compute: Compute, device: str, job: Path) -> list[str]:
    """The command that starts the processes.

    accelerate's own launcher starts one process alone on CPUs, whatever it is asked for: there torch's does it.
    Raises SeamError for a config that is not there.
    """
    worker = ["-m", WORKER, str(job)]
    accelerate = [sys.executable, "-m", "accelerate.commands.launch"]
    if compute.accelerate_config is not None:
        config = accelerate_config(compute.accelerate_config)
        count = [] if compute.processes is None else ["--num_processes", str(compute.processes)]
        return [*accelerate, "--config_file", str(config), *count, *worker]
    number = str(processes_of(compute, device))
    if device.startswith("cuda"):
        options = ["--multi_gpu"] if number != "1" else []
        plain = ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
        return [*accelerate, *options, "--num_processes", number, *plain, *worker]
    rendezvous = ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", number, *rendezvous, *worker]


def accelerate_config(given: str) -> Path:
    """The file of `compute.accelerate_config`. Raises SeamError when it is not there."""
    config = Path(given).expanduser().absolute()
    if not config.is_file():
        raise SeamError(f"compute.accelerate_config: {config} is not there; `accelerate config` writes one.")
    return config


def processes_of(compute: Compute, device: str) -> int:
    """Processes of one training on this machine."""
    if compute.launcher == "in_process":
        return 1
    if compute.processes is None and device.startswith("cuda"):
        import torch

        return torch.cuda.device_count()
    return compute.processes or 1


def _failure(place: Path, kind: str, what: str) -> SeamError:
    """The sentence of the lowest process that has one, else the end of the log."""
    for file in sorted(place.glob(f"{ERROR}.*"), key=lambda file: int(file.suffix[1:])):
        return SeamError(file.read_text("utf-8"))
    lines = (place / LOG).read_text("utf-8", "replace").splitlines() if (place / LOG).exists() else []
    told = [line for line in lines if "Error" in line and "ChildFailedError" not in line]
    last = f": {(told or lines)[0].strip()}" if told or lines else ""
    how = SeamError if told else WorkerLostError
    return how(f"The {kind} training's processes ended without an outcome ({what}{last}); see {place / LOG}.")


def _hearing(report: Progress, watch: Watch) -> Callable[[Any], None]:
    def hear(message: Any) -> None:
        if "progress" in message:
            report(*message["progress"])
        else:
            watch(message["metrics"])

    return hear


class _Heard(dg.PipesTempFileMessageReader):
    """Hands custom messages over as they come; the library keeps them to the end."""

    def __init__(self, hear: Callable[[Any], None]) -> None:
        super().__init__()
        self.hear = hear

    @contextmanager
    def read_messages(self, handler: Any) -> Iterator[Any]:
        rest = handler.handle_message

        def handle(message: Any) -> None:
            if message["method"] == "report_custom_message":
                self.hear(message["params"]["payload"])
            else:
                rest(message)

        handler.handle_message = handle
        with super().read_messages(handler) as params:
            yield params


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
