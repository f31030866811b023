"""The lines of a run with several artifacts at once."""

import re
from types import SimpleNamespace

import pytest

import seam_pipeline.cli._display as module
from seam_pipeline.cli._display import LineDisplay


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_a_log_has_whole_lines_of_each(clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    display = LineDisplay({"a": 10.0, "b [pm01]": 20.0, "c": 5.0}, at_once=2)
    display.step("a", 0, 0)
    display.step("b [pm01]", 0, 0)
    for clock.now in (5.0, 10.0, 15.0):
        display.step("a", int(clock.now), 20)
        display.step("b [pm01]", int(clock.now), 40)
    display.spared("c")
    display.made("a", 15.0)
    display.failed("b [pm01]", "no room")
    assert capsys.readouterr().out.splitlines() == [
        "[1/3] a 10/20 steps, 0:10 left in it, about 0:30 in all",
        "[2/3] b [pm01] 10/40 steps, 0:30 left in it, about 0:30 in all",
        "[1/2] a 15.0 s (); about 0:16 left",
        "[2/2] b [pm01] FAILED: no room",
    ]


def test_a_refused_artifact_counts_once(capsys: pytest.CaptureFixture[str]) -> None:
    display = LineDisplay({"a": 1.0, "b": 1.0})
    display.made("a", 1.0)
    display.failed("a", "check positive: -1 is negative")
    assert "[1/2] a FAILED" in capsys.readouterr().out


def test_a_terminal_shows_what_is_running_and_nothing_else_is_left(
    clock: SimpleNamespace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    display = LineDisplay({"a": 10.0, "b": 10.0}, at_once=2)
    display.live = True
    display.step("a", 0, 0)
    display.step("b", 0, 0)
    clock.now = 2.0
    display.step("b", 1, 2)
    assert screen(capsys.readouterr().out) == ["[1/2] a ...", "[2/2] b 1/2 steps, 0:02 left in it, abo"]
    display.made("a", 2.0)
    text = capsys.readouterr().out
    display.made("b", 2.0)
    assert screen(text + capsys.readouterr().out)[-2:] == [
        "[1/2] a 2.0 s (); about 0:04 left",
        "[2/2] b 2.0 s (); about 0:00 left",
    ]


def screen(text: str) -> list[str]:
    """What a terminal shows after these characters: a cursor that goes up, and wiping from there."""
    rows, row, column = ["", ""], 0, 0
    for match in re.finditer(r"\x1b\[(\d*)([A-Za-z])|\r|\n|[^\x1b\r\n]+", text):
        piece = match[0]
        if match[2] == "A":
            row = max(0, row - int(match[1]))
        elif match[2] == "J":
            rows[row:] = [rows[row][:column]]
        elif match[2]:
            continue
        elif piece == "\r":
            column = 0
        elif piece == "\n":
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        else:
            rows[row] = rows[row][:column] + piece
            column += len(piece)
    return [line for line in rows if line]
