"""One of the processes of a training: `accelerate launch -m seam_pipeline.defs._worker JOB`.

Process 0 reports through Dagster Pipes when Dagster started it; the others write to log files of their own.
`--log FILE COMMAND...` sends what COMMAND prints to a file and becomes it.
"""

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

from dagster_pipes import PipesContext, PipesEnvVarParamsLoader, open_dagster_pipes

from ..errors import SeamError
from ._job import Job, Surroundings, read_job, run_job

ERROR = "error"
"""`error.<process>`: the sentence of a training that can't go on."""
OFTEN = 0.2
"""Seconds between two messages of progress."""


def main(arguments: list[str]) -> int:
    """Run a job file's training in this process, or redirect a command; returns the exit status."""
    if arguments[0] == "--log":
        _become(Path(arguments[1]), arguments[2:])
    file, number = Path(arguments[0]), int(os.environ.get("RANK", "0"))
    if number:
        _redirect(file.with_name(f"log.{number}.txt"))
    job, around = read_job(file)
    _end_without(around.starter)
    try:
        _train(job, around, number == 0)
    except SeamError as error:
        file.with_name(f"{ERROR}.{number}").write_text(str(error), "utf-8")
        print(f"seam: {error}", file=sys.stderr, flush=True)
        return 2
    return 0


def _train(job: Job, around: Surroundings, reports: bool) -> None:
    import torch

    torch.set_num_threads(around.threads)
    with ExitStack() as stack:
        pipes = stack.enter_context(_pipes()) if reports else None
        watch = stack.enter_context(_watching(around)) if reports else lambda row: None
        send = _Messages(pipes)

        def seen(row: Mapping[str, Any]) -> None:
            watch(row)
            send.metrics(row)

        run_job(job, around.device, send.progress, seen)
        send.flush()
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@contextmanager
def _pipes() -> Iterator[PipesContext | None]:
    """Dagster's end of the pipe, with warnings of the libraries in its log; None when nobody listens."""
    if not PipesEnvVarParamsLoader().is_dagster_pipes_process():
        yield None
        return
    with open_dagster_pipes() as pipes:
        handler = _ToDagster(pipes)
        logging.getLogger().addHandler(handler)
        try:
            yield pipes
        finally:
            logging.getLogger().removeHandler(handler)


class _ToDagster(logging.Handler):
    def __init__(self, pipes: PipesContext) -> None:
        super().__init__(logging.WARNING)
        self.pipes = pipes

    def emit(self, record: logging.LogRecord) -> None:
        self.pipes.log.log(record.levelno, self.format(record))


class _Messages:
    """Progress and metrics as Pipes messages, `{"progress": [done, total]}` and `{"metrics": row}`."""

    def __init__(self, pipes: PipesContext | None) -> None:
        self.pipes = pipes
        self.sent = 0.0
        self.waiting: list[dict[str, Any]] = []

    def progress(self, done: int, total: int) -> None:
        """At most a few a second, and the last one."""
        self.waiting = [message for message in self.waiting if "progress" not in message]
        self._add({"progress": [done, total]})

    def metrics(self, row: Mapping[str, Any]) -> None:
        """A row of the training's metrics; all are sent."""
        self._add({"metrics": {name: value for name, value in row.items() if isinstance(value, int | float)}})

    def _add(self, message: dict[str, Any]) -> None:
        self.waiting.append(message)
        if time.monotonic() - self.sent >= OFTEN:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        for message in self.waiting:
            if self.pipes:
                self.pipes.report_custom_message(message)
        self.waiting, self.sent = [], time.monotonic()


def _watching(around: Surroundings) -> Any:
    from ..training.watch import Tracker, watching

    trackers = cast("tuple[Tracker, ...]", around.trackers)
    return watching(trackers, around.project, around.run, Path(around.tracker_folder))


def _redirect(file: Path) -> None:
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)


def _become(file: Path, command: list[str]) -> None:
    _redirect(file)
    os.execv(command[0], command)


def _end_without(starter: tuple[str, int] | None) -> None:
    """End this process when the one that waits for it is gone: else a second one could train beside it."""
    if starter is None or starter[0] != socket.gethostname():
        return

    def look() -> None:
        while _alive(starter[1]):
            time.sleep(1)
        os._exit(3)

    threading.Thread(target=look, daemon=True).start()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
