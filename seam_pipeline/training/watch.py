"""Metrics of a running training in TensorBoard, Weights & Biases or MLflow, beside the table that it leaves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

from ..errors import SeamError

Tracker = Literal["tensorboard", "wandb", "mlflow"]
Watch = Callable[[Mapping[str, Any]], None]
"""Called with each row of metrics as it appears; `step` counts from 1."""


def unwatched(_row: Mapping[str, Any]) -> None:
    """Nobody looks on."""


@contextmanager
def watching(trackers: Sequence[Tracker], project: str, run: str, folder: Path) -> Iterator[Watch]:
    """Sends rows to these trackers; files go below `folder`, servers are those of the trackers' own variables.

    A run that is continued adds to the same TensorBoard folder and W&B run id; MLflow gets a new run of the same name.
    Raises SeamError when a tracker's package is not installed.
    """
    with ExitStack() as stack:
        sinks = [stack.enter_context(_OPEN[tracker](project, run, folder)) for tracker in trackers]

        def watch(row: Mapping[str, Any]) -> None:
            numbers = {k: float(v) for k, v in row.items() if k != "step" and isinstance(v, int | float)}
            for sink in sinks:
                sink(int(row["step"]), numbers)

        yield watch if sinks else unwatched


Sink = Callable[[int, dict[str, float]], None]


@contextmanager
def _tensorboard(project: str, run: str, folder: Path) -> Iterator[Sink]:
    with _needed("tensorboard"):
        from torch.utils.tensorboard import SummaryWriter
    writer = SummaryWriter(str(folder / "tensorboard" / project / run))

    def send(step: int, numbers: dict[str, float]) -> None:
        for name, number in numbers.items():
            writer.add_scalar(name, number, step)

    try:
        yield send
    finally:
        writer.close()


@contextmanager
def _wandb(project: str, run: str, folder: Path) -> Iterator[Sink]:
    with _needed("wandb"):
        import wandb
    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    identity = f"{project}-{run}".replace("/", "-")
    started = wandb.init(project=project, name=run, id=identity, resume="allow", dir=str(folder / "wandb"))
    try:
        yield lambda step, numbers: started.log(numbers, step=step)
    finally:
        started.finish()


@contextmanager
def _mlflow(project: str, run: str, folder: Path) -> Iterator[Sink]:
    with _needed("mlflow"):
        import mlflow
    if not mlflow.is_tracking_uri_set():
        folder.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').absolute()}")
    mlflow.set_experiment(project)
    with mlflow.start_run(run_name=run):
        yield lambda step, numbers: mlflow.log_metrics(numbers, step=step)


@contextmanager
def _needed(package: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise SeamError(
            f"compute.trackers asks for {package}, which is not installed ({error}); `pip install {package}`, or take "
            "it out of compute.trackers."
        ) from error


_OPEN: dict[Tracker, Any] = {"tensorboard": _tensorboard, "wandb": _wandb, "mlflow": _mlflow}
