"""What both children of benchmarks/ppo.py measure alike; imports nothing but torch, so each environment can."""

import json
import resource
import time
from pathlib import Path
from typing import Any

import torch


def peak_mib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Clock:
    """Wall and CPU seconds of each step; the first is a warm-up and not counted by the parent."""

    def __init__(self) -> None:
        self.imports = peak_mib()
        self.wall: list[float] = []
        self.cpu: list[float] = []
        self._last = (time.perf_counter(), time.process_time())

    def start(self) -> None:
        self._last = (time.perf_counter(), time.process_time())

    def step(self) -> None:
        now = (time.perf_counter(), time.process_time())
        self.wall.append(now[0] - self._last[0])
        self.cpu.append(now[1] - self._last[1])
        self._last = now

    def write(self, out: Path, metrics: dict[str, list[float]], versions: dict[str, str]) -> None:
        """`metrics` has the lists reward and kl, one number per step."""
        numbers: dict[str, Any] = {
            "wall": self.wall,
            "cpu": self.cpu,
            "peak": peak_mib(),
            "imports": self.imports,
            "metrics": metrics,
            "versions": versions,
        }
        out.write_text(json.dumps(numbers), "utf-8")


def pin(threads: int) -> None:
    """As many torch threads for everything."""
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
