"""Several batches at once, each in a worker process (`_batch_worker`) that is started when there is work for it.

Both sides write lines of JSON to pipes. A worker's standard input ends when this process does, however it does: then
the worker ends too.
"""

import json
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import IO, Any, Self

import dagster as dg

from ..errors import SeamError
from ..store import Store
from ._assets import Listener
from ._batch import Batch, Ended
from ._study import Study

BUILDER = "seam_pipeline.defs.graph:build_study"
WORKER = "seam_pipeline.defs._batch_worker"
PATIENCE, GRACE = 5.0, 30.0
"""Seconds after which a stopped worker is told again, and killed."""


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[str]
    batch: Batch = field(default_factory=list)
    run: str = ""
    """Id of the batch's Dagster run."""
    at: str | None = None
    """Label of what it is making."""
    made: set[str] = field(default_factory=set)
    ready: bool = False

    def send(self, message: dict[str, Any]) -> None:
        """To its standard input; where it has ended, that is heard of in `wait`."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message) + "\n")
            self.process.stdin.flush()

    def hang_up(self) -> None:
        """End its standard input."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()


class Workers:
    """A crew of `at_once` processes; each keeps what it has imported and loaded from batch to batch."""

    def __init__(
        self,
        study: Study,
        store: Store,
        instance: dg.DagsterInstance,
        listener: Listener,
        at_once: int,
        builder: str = BUILDER,
    ) -> None:
        """`builder` names the function, `module:function`, that makes the study of its experiment in a worker.

        The instance is the one that `open_instance` gives.
        """
        self.study, self.store, self.instance, self.listener = study, store, instance, listener
        self.at_once, self.builder = at_once, builder
        self.workers: list[_Worker] = []
        self._heard: queue.SimpleQueue[tuple[_Worker, dict[str, Any] | None]] = queue.SimpleQueue()

    @property
    def busy(self) -> int:
        """Workers with a batch."""
        return sum(bool(worker.batch) for worker in self.workers)

    def start(self, batch: Batch, anew: bool) -> None:
        """Hand the batch to an idle worker, or to a new one."""
        idle = [w for w in self.workers if not w.batch and w.process.poll() is None]
        worker = idle[0] if idle else self._hire()
        worker.batch, worker.run, worker.at, worker.made = batch, str(uuid.uuid4()), None, set()
        tasks = [[task.node.name, task.partition.key, task.why] for task in batch]
        worker.send({"tasks": tasks, "anew": anew, "run": worker.run})

    def wait(self) -> tuple[Batch, Ended]:
        """Pass on how far the workers are until a batch ends.

        A worker that is killed fails what it was making. Raises SeamError where workers cannot be started.
        """
        while True:
            worker, message = self._heard.get()
            if message is None:
                self.workers.remove(worker)
                if worker.batch:
                    return worker.batch, self._lost(worker)
            elif "ended" in message:
                batch, worker.batch = worker.batch, []
                if self.store.mirror:
                    self.store.mirror.remote.forget()
                return batch, Ended(frozenset(message["ended"]["done"]), message["ended"]["failures"])
            else:
                self._told(worker, message)

    def _told(self, worker: _Worker, message: dict[str, Any]) -> None:
        if "refused" in message:
            raise SeamError(message["refused"])
        worker.ready = True
        if "step" in message:
            label, done, total = message["step"]
            worker.at = label
            self.listener.step(label, done, total)
        if "made" in message:
            label, seconds = message["made"]
            worker.at = None
            worker.made.add(label)
            self.listener.made(label, seconds)

    def _lost(self, worker: _Worker) -> Ended:
        status = worker.process.wait()
        if status > 0 and not worker.ready:
            raise SeamError(f"A worker process could not start (exit status {status}); its error is above.")
        how = (
            f"was killed by signal {-status} (9: often by the system, for want of memory)"
            if status < 0
            else (f"ended with exit status {status}")
        )
        run = self.instance.get_run_by_id(worker.run)
        if run is not None and not run.is_finished:
            self.instance.report_run_failed(run, f"The worker process {how}.")
        left = [task.label for task in worker.batch if task.label not in worker.made]
        reason = f"its worker process {how}; run the same command again to go on."
        return Ended(frozenset(worker.made), {worker.at or left[0]: reason} if left else {})

    def _hire(self) -> _Worker:
        command = [sys.executable, "-W", "ignore", "-m", WORKER]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            process_group=0,  # Ctrl-C reaches this process, which stops the workers once
        )
        worker = _Worker(process)
        self.workers.append(worker)
        threading.Thread(target=self._hear, args=(worker,), daemon=True).start()
        mirror = str(self.store.root) if self.store.mirror else None
        store = {"root": self.store.place, "mirror": mirror, "experiment": self.store.experiment}
        experiment = self.study.experiment.model_dump(mode="json")
        worker.send({"builder": self.builder, "experiment": experiment, "store": store})
        return worker

    def _hear(self, worker: _Worker) -> None:
        """In a thread: what the worker says, then None."""
        pipe: IO[str] | None = worker.process.stdout
        assert pipe is not None
        for line in pipe:
            if line.endswith("\n"):  # else it was killed within the line
                self._heard.put((worker, json.loads(line)))
        self._heard.put((worker, None))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, at: TracebackType | None) -> None:
        """Let idle workers end; stop those at work, which keep their checkpoints."""
        until = time.monotonic() + GRACE
        try:
            for worker in self.workers:
                if not worker.batch:
                    worker.hang_up()
                elif not worker.ready:
                    worker.process.kill()
            while time.monotonic() < until and self._alive():
                self._interrupt(until)
        finally:
            for worker in self.workers:
                worker.process.kill()
                worker.process.wait()
                worker.hang_up()

    def _alive(self) -> list[_Worker]:
        return [worker for worker in self.workers if worker.process.poll() is None]

    def _interrupt(self, until: float) -> None:
        """Ask those at work to stop and wait a while; Python loses an interrupt that falls into a finaliser."""
        for worker in self._alive():
            if worker.batch:
                worker.process.send_signal(signal.SIGINT)
        soon = min(until, time.monotonic() + PATIENCE)
        for worker in self._alive():
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, soon - time.monotonic()))
