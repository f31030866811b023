"""What the operating system refuses is one sentence with the path, and exit status 2."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seam_pipeline.cli import main
from seam_pipeline.cli._trouble import sentence_of

SEAM = [sys.executable, "-c", "from seam_pipeline.cli import main; main()"]


def test_a_file_where_a_folder_is_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "posts.jsonl").write_text('{"instruction": "Why?", "chosen": "Because.", "rejected": "No."}\n')
    with pytest.raises(SystemExit) as stop:
        main(["ingest", str(tmp_path / "posts.jsonl"), "--out", str(tmp_path / "file" / "out")])
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert str(tmp_path / "file") in err
    assert "a file is where a folder is needed" in err
    assert err.count("\n") == 1


def test_a_full_disk_at_standard_output() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*SEAM, "plan", "-e", "smoke"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    assert done.stderr.startswith("seam: standard output: No space left on device; free some space there")
    assert done.stderr.count("\n") == 1


def test_without_a_name_the_places_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEAM_HOME", str(tmp_path))
    sentence = sentence_of(OSError(errno.ENOSPC, "No space left on device"))
    assert sentence is not None
    assert sentence.startswith(f"a file below {tmp_path} or in ")
    assert sentence_of(ValueError("a bug")) is None


def test_records_on_a_full_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As SQLAlchemy wraps it."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    error = RuntimeError("a page of SQL")
    error.__cause__ = sqlite3.OperationalError("database or disk is full")
    sentence = sentence_of(error)
    assert sentence is not None
    assert sentence.startswith(f"{tmp_path}: the records there cannot be read or written (database or disk is full)")


def test_the_interface_can_be_stopped_when_a_script_started_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A script's background commands ignore SIGINT, Dagster then ignored SIGTERM too."""
    monkeypatch.setenv("SEAM_HOME", str(tmp_path))
    monkeypatch.delenv("SEAM_STORE", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    started: list[Any] = []
    monkeypatch.setattr(os, "execve", lambda *given: started.append(signal.getsignal(signal.SIGINT)))
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        main(["ui", "-e", "smoke", "--port", "65123"])
    finally:
        signal.signal(signal.SIGINT, before)
    assert started == [signal.SIG_DFL]
