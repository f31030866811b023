"""Progress of a run: stage, partition, steps, time left."""

import shutil
import sys
import time
from dataclasses import dataclass

import click

from ..defs._stale import Task
from ..defs._update import Display


@dataclass
class _Running:
    started: float
    told: float
    """When its last line was written to a log."""
    done: int = 0
    total: int = 0


class LineDisplay(Display):
    """One line per artifact; on a terminal those being made have a line each below, rewritten while they go on."""

    def __init__(self, expected: dict[str, float], at_once: int = 1) -> None:
        """`expected` are seconds per artifact label, the measure of the time left."""
        self.expected = dict(expected)
        self.at_once = at_once
        self.total = len(expected)
        self.finished: set[str] = set()
        self.done_expected = 0.0
        self.why: dict[str, str] = {}
        self.running: dict[str, _Running] = {}
        self.started = time.monotonic()
        self.live = sys.stdout.isatty()
        self.drawn, self.drawn_at = 0, 0.0

    def planned(self, tasks: list[Task]) -> None:
        """Remember why each is made."""
        self.why |= {task.label: task.why for task in tasks}

    def step(self, label: str, done: int, total: int) -> None:
        """Every second on a terminal, every ten seconds in a log."""
        now = time.monotonic()
        if not total:
            self.running[label] = _Running(now, now)
        one = self.running.setdefault(label, _Running(now, now))
        one.done, one.total = done, total
        if self.live and (not total or now - self.drawn_at >= 1):
            self._draw()
        elif not self.live and now - one.told >= 10:
            one.told = now
            click.echo(f"{self._line(label)}, about {_clock(self._left())} in all")

    def made(self, label: str, seconds: float) -> None:
        """One finished line per artifact."""
        self._finish(label)
        self._say(
            f"{self._place()} {label} {seconds:.1f} s ({self.why.get(label, '')}); about {_clock(self._left())} left"
        )

    def failed(self, label: str, reason: str) -> None:
        """One red line."""
        self._finish(label)
        self._say(f"{self._place()} {label} FAILED: {reason}", fg="red")

    def spared(self, label: str) -> None:
        """It does not count any more."""
        if self.expected.pop(label, None) is not None:
            self.total -= 1

    def _finish(self, label: str) -> None:
        self.finished.add(label)
        self.running.pop(label, None)
        self.total = max(self.total, len(self.finished))
        self.done_expected += self.expected.pop(label, 0.0)

    def _left(self) -> float:
        """Expected seconds ahead, scaled by how long the past took; the scale is believed gradually.

        It starts at 1, or at a share of it where several are made at once.
        """
        spent = time.monotonic() - self.started
        ahead = sum(self.expected.values())
        trust = 20 + 0.2 * (ahead + self.done_expected)
        return ahead * (spent + trust / self.at_once) / (self.done_expected + trust)

    def _place(self, ahead: int = 0) -> str:
        return f"[{min(len(self.finished) + ahead, self.total):{len(str(self.total))}d}/{self.total}]"

    def _line(self, label: str) -> str:
        one = self.running[label]
        start = f"{self._place(1 + list(self.running).index(label))} {label}"
        if not one.total:
            return f"{start} ..."
        spent = time.monotonic() - one.started
        left = f", {_clock(spent / one.done * (one.total - one.done))} left in it" if one.done else ""
        return f"{start} {one.done}/{one.total} steps{left}"

    def _say(self, line: str, fg: str | None = None) -> None:
        self._wipe()
        click.secho(line, fg=fg)
        if self.running:
            self._draw()

    def _draw(self) -> None:
        """The lines of what is being made; the last says how long everything takes."""
        if not self.live:
            return
        self._wipe()
        lines = [self._line(label) for label in self.running]
        lines[-1] += f", about {_clock(self._left())} in all"
        wide = shutil.get_terminal_size().columns - 1  # a line that the terminal breaks could not be wiped
        sys.stdout.write("\n".join(line[:wide] for line in lines))
        sys.stdout.flush()
        self.drawn, self.drawn_at = len(lines), time.monotonic()

    def _wipe(self) -> None:
        if self.drawn:
            up = f"\x1b[{self.drawn - 1}A" if self.drawn > 1 else ""
            sys.stdout.write(f"\r{up}\x1b[J")
            self.drawn = 0


def _clock(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
