"""Progress callbacks: core functions report, whoever runs them displays."""

from collections.abc import Callable

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in total)."""


def silent(done: int, total: int) -> None:
    """Report nowhere."""
