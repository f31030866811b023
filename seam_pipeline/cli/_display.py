"""Progress of a run: stage, partition, steps, time left."""

import sys
import time
from collections.abc import Sequence

import click

from ..defs._stale import Task
from ..defs._update import Display


class LineDisplay(Display):
    """One line per artifact; on a terminal the current line is rewritten while its steps go on."""

    def __init__(self, expected: dict[str, float]) -> None:
        """`expected` are seconds per artifact label, the measure of the time left."""
        self.expected = dict(expected)
        self.total = len(expected)
        self.done = 0
        self.done_expected = 0.0
        self.started = time.monotonic()
        self.batch_started = self.started
        self.last_line = 0.0
        self.live = sys.stdout.isatty()

    def begin(self, tasks: Sequence[Task]) -> None:
        """Name what starts."""
        self.batch_started = time.monotonic()
        self.last_line = self.batch_started
        if self.live:
            self._rewrite(f"{self._place(tasks[0].label)} ...")

    def step(self, label: str, done: int, total: int) -> None:
        """Every second on a terminal, every ten seconds in a log."""
        now = time.monotonic()
        if now - self.last_line < (1 if self.live else 10) or not total:
            return
        self.last_line = now
        spent = now - self.batch_started
        left = f", {_clock(spent / done * (total - done))} left in it" if done else ""
        line = f"{self._place(label)} {done}/{total} steps{left}, about {_clock(self._left())} in all"
        if self.live:
            self._rewrite(line)
        else:
            click.echo(line)

    def end(self, tasks: Sequence[Task], failures: dict[str, str]) -> None:
        """One finished line per artifact."""
        seconds = time.monotonic() - self.batch_started
        for task in tasks:
            self.done += 1
            self.done_expected += self.expected.pop(task.label, 0.0)
            self.total = max(self.total, self.done)
            if self.live:
                self._rewrite("")
            if task.label in failures:
                click.secho(f"{self._place(task.label)} FAILED: {failures[task.label]}", fg="red")
            else:
                share = f"{seconds:.1f} s" if len(tasks) == 1 else f"{seconds:.1f} s with {len(tasks) - 1} more"
                click.echo(f"{self._place(task.label)} {share} ({task.why}); about {_clock(self._left())} left")

    def _left(self) -> float:
        spent = time.monotonic() - self.started
        remaining = sum(self.expected.values())
        return remaining * (spent / self.done_expected if self.done_expected > 1 else 1.0)

    def _place(self, label: str) -> str:
        width = len(str(self.total))
        return f"[{min(self.done + (0 if label else 1), self.total):{width}d}/{self.total}] {label}"

    def _rewrite(self, line: str) -> None:
        sys.stdout.write(f"\r\x1b[2K{line[:200]}")
        sys.stdout.flush()


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
