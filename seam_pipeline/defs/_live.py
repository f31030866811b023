"""How a running step is going: lines in Dagster's run log and, now and then, observations of its asset."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg

from ..training.watch import Watch

LINES, OBSERVATIONS = 10.0, 60.0
"""Seconds between two lines of the log, and between two observations of the asset."""
_RL = ("reward_mean", "gold_mean", "kl", "entropy", "response_length")
CURVES: Mapping[str, tuple[str, ...]] = {
    "base": ("loss",),
    "sft": ("loss", "mean_token_accuracy"),
    "reward": ("loss", "accuracy", "margin"),
    "dpo": ("loss", "accuracy", "margin"),
    "ppo": _RL,
    "rloo": _RL,
    "grpo": _RL,
}
"""Metrics by kind of training that observations carry: the asset's page draws each over time."""


class Live:
    """Tells Dagster how one step is going.

    The log gets a line every LINES seconds; the asset an observation every OBSERVATIONS seconds, and one at the end of
    a training that took longer than that. It holds `percent`, `step`, `seconds_left` and the latest of the training's
    CURVES.
    """

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._context = context
        self._said = self._observed = time.monotonic()
        self._measured = -math.inf
        self._done = self._total = 0
        self._first = (0.0, 0)
        self._training: dict[str, Any] = {}

    def progress(self, done: int, total: int) -> None:
        """The step is at `done` of `total`."""
        now = time.monotonic()
        if total != self._total or done < self._done:
            self._first = (now, done)
        self._done, self._total = done, total
        if not done or not total:
            return
        if now - self._said >= LINES:
            self._said = now
            left = self._left(now)
            self._context.log.info(f"{done} of {total}" + ("" if left is None else f", about {left:.0f} s left"))
        self._observe(now)

    @contextmanager
    def training(self, kind: str, part: str) -> Iterator[Watch]:
        """Gives what a training of this kind calls with its metrics; `part`: which of the step's trainings it is."""
        began, names, fresh = time.monotonic(), CURVES[kind], False

        def watch(row: Mapping[str, Any]) -> None:
            nonlocal fresh
            numbers = {n: float(v) for n, v in row.items() if isinstance(v, int | float) and math.isfinite(v)}
            self._training = {"training": part} if part else {}
            self._training |= {name: numbers[name] for name in names if name in numbers}
            now = time.monotonic()
            if now - self._measured >= LINES:
                self._measured = now
                self._context.log.info(_line(numbers))
            fresh = not self._observe(now)

        yield watch
        now = time.monotonic()
        if fresh and now - began >= OBSERVATIONS:
            self._observe(now, last=True)
        self._training = {}

    def _observe(self, now: float, last: bool = False) -> bool:
        """An observation where it is time for one; says whether there was one."""
        if now - self._observed < OBSERVATIONS and not last:
            return False
        self._observed = now
        metadata: dict[str, Any] = dict(self._training)
        if self._total:
            metadata |= {"percent": round(100 * self._done / self._total, 1), "step": f"{self._done} of {self._total}"}
        if (left := self._left(now)) is not None:
            metadata["seconds_left"] = round(left)
        partition = self._context.partition_key if self._context.has_partition_key else None
        self._context.log_event(dg.AssetObservation(self._context.asset_key, partition=partition, metadata=metadata))
        return True

    def _left(self, now: float) -> float | None:
        """Seconds, from what was done since the first word: a training that goes on began long before."""
        since, done = self._first
        return (now - since) / (self._done - done) * (self._total - self._done) if self._done > done else None


def _line(row: Mapping[str, float]) -> str:
    numbers = ", ".join(f"{name} {value:.4g}" for name, value in row.items() if name != "step")
    return f"step {row.get('step', 0):.0f}: {numbers}"
