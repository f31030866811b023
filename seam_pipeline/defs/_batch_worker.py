"""A worker process of `seam run`: makes one batch after the other, as `_workers` says on standard input."""

import json
import os
import pkgutil
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import IO, Any

from ..errors import SeamError

OFTEN = 0.2
"""Seconds between two messages of an artifact's progress."""
SOON = 2.0
"""Seconds that a worker has to end by itself once nobody waits for it."""

Say = Callable[[dict[str, Any]], None]


def main() -> int:
    """Serve until standard input ends; returns the exit status."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    given, answers = _own_pipes()
    orders: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_hear, args=(given, orders), daemon=True).start()

    def say(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        _serve(orders, say)
    except SeamError as error:
        say({"refused": str(error)})
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _own_pipes() -> tuple[IO[str], IO[str]]:
    """Standard input and output, kept from whatever else reads and prints in this process and those that it starts."""
    given, answers = os.fdopen(os.dup(0), encoding="utf-8"), os.fdopen(os.dup(1), "w", encoding="utf-8")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    return given, answers


def _hear(given: IO[str], orders: "queue.SimpleQueue[str | None]") -> None:
    """In a thread: the orders, then None; a batch that nobody waits for any more is given up."""
    for line in given:
        orders.put(line)
    orders.put(None)
    time.sleep(SOON)
    os._exit(3)


def _serve(orders: "queue.SimpleQueue[str | None]", say: Say) -> None:
    from ..experiment import Experiment
    from ..store import Store
    from ._assets import listen
    from ._batch import materialize
    from ._crew import job_of
    from ._instance import open_instance
    from ._node import Partition
    from ._stale import Task

    first = json.loads(orders.get() or "null")
    if first is None:
        return
    study = pkgutil.resolve_name(first["builder"])(Experiment.model_validate(first["experiment"]))
    store = Store(first["store"]["root"], first["store"]["mirror"], first["store"]["experiment"])
    job = job_of(study, store)
    listen(_telling(say))
    with open_instance() as instance:
        say({"ready": True})
        while (line := orders.get()) is not None:
            order = json.loads(line)
            tasks = [Task(study.nodes[name], Partition.parse(key), why) for name, key, why in order["tasks"]]
            ended = materialize(job, study, tasks, instance, order["anew"], order["run"])
            say({"ended": {"done": sorted(ended.done), "failures": ended.failures}})


def _telling(say: Say) -> Any:
    from ._assets import Listener

    class Telling(Listener):
        said = 0.0

        def step(self, label: str, done: int, total: int) -> None:
            now = time.monotonic()
            if not total or now - self.said >= OFTEN:
                self.said = now
                say({"step": [label, done, total]})

        def made(self, label: str, seconds: float) -> None:
            say({"made": [label, seconds]})

    return Telling()


if __name__ == "__main__":
    sys.exit(main())
