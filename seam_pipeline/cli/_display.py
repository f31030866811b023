"""Progress of a run: stage, partition, steps, time left."""

import sys
import time

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
        self.why: dict[str, str] = {}
        self.started = self.step_started = self.last_line = time.monotonic()
        self.live = sys.stdout.isatty()

    def planned(self, tasks: list[Task]) -> None:
        """Remember why each is made."""
        self.why = {task.label: task.why for task in tasks}

    def step(self, label: str, done: int, total: int) -> None:
        """Every second on a terminal, every ten seconds in a log."""
        now = time.monotonic()
        if not total:
            self.step_started = self.last_line = now
            if self.live:
                self._rewrite(f"{self._place(1)} {label} ...")
            return
        if now - self.last_line < (1 if self.live else 10):
            return
        self.last_line = now
        left = f", {_clock((now - self.step_started) / done * (total - done))} left in it" if done else ""
        line = f"{self._place(1)} {label} {done}/{total} steps{left}, about {_clock(self._left())} in all"
        if self.live:
            self._rewrite(line)
        else:
            click.echo(line)

    def made(self, label: str, seconds: float) -> None:
        """One finished line per artifact."""
        self._finish(label)
        why = self.why.get(label, "")
        click.echo(f"{self._place()} {label} {seconds:.1f} s ({why}); about {_clock(self._left())} left")

    def failed(self, label: str, reason: str) -> None:
        """One red line."""
        self._finish(label)
        click.secho(f"{self._place()} {label} FAILED: {reason}", fg="red")

    def _finish(self, label: str) -> None:
        self.done += 1
        self.total = max(self.total, self.done)
        self.done_expected += self.expected.pop(label, 0.0)
        if self.live:
            self._rewrite("")

    def _left(self) -> float:
        """Expected seconds ahead, scaled by how long the past took; the scale starts at 1 and is believed gradually."""
        spent = time.monotonic() - self.started
        ahead = sum(self.expected.values())
        trust = 20 + 0.2 * (ahead + self.done_expected)
        return ahead * (spent + trust) / (self.done_expected + trust)

    def _place(self, ahead: int = 0) -> str:
        return f"[{min(self.done + ahead, self.total):{len(str(self.total))}d}/{self.total}]"

    def _rewrite(self, line: str) -> None:
        sys.stdout.write(f"\r\x1b[2K{line[:200]}")
        sys.stdout.flush()


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
