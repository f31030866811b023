"""Real processes, killed with SIGKILL at each step: the next run finishes, and nothing is submitted twice."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from seam_pipeline.llm.usage import read_spending

from .asking import SETTINGS, ask, client
from .server import Scripted, scripted_server

PROMPTS = tuple("abcdefgh")


class Victim:
    """The program of asking.py in a process of its own."""

    def __init__(self, server: Scripted, path: Path, **changes: object) -> None:
        given = json.dumps({**SETTINGS, "base_url": server.url, **changes})
        command = [sys.executable, "-m", "seam_pipeline_tests.llm.asking", given, str(path), *PROMPTS]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)

    def wait(self) -> int:
        return self._process.wait(timeout=60)


@pytest.mark.parametrize(
    ("moment", "count"),
    [
        pytest.param("list", 1, marks=pytest.mark.slow),
        pytest.param("upload", 1, marks=pytest.mark.slow),
        ("create", 1),
        ("created", 1),
        pytest.param("poll", 2, marks=pytest.mark.slow),
        ("read", 1),
    ],
)
def test_batch_mode_submits_once(tmp_path: Path, moment: str, count: int) -> None:
    with scripted_server() as server:
        server.batches.polls = 2

        def strike(event: str) -> None:
            if event == moment and server.batches.events.count(moment) == count:
                victim.kill()
                victim.wait()
                if moment == "create":
                    raise ConnectionAbortedError  # killed before the server took it

        server.batches.on = strike
        victim = Victim(server, tmp_path, mode="batch")
        assert victim.wait() == -signal.SIGKILL
        replies = ask(client(server.url, tmp_path, mode="batch"), *PROMPTS)
        assert len(server.batches.made) == 1
    assert all(r.text == f"reply to {p}" for p, r in replies.items())
    (spent,) = read_spending(tmp_path / "replies.sqlite")
    assert (spent.requests, spent.prompt_tokens, spent.completion_tokens) == (8, 56, 24)


@pytest.mark.slow
def test_two_processes_with_the_same_rows_submit_once(tmp_path: Path) -> None:
    with scripted_server() as server:
        server.batches.polls = 60  # of both together: long enough for the second one to come
        others = [Victim(server, tmp_path, mode="batch") for _ in range(2)]
        assert [other.wait() for other in others] == [0, 0]
        assert len(server.batches.made) == 1
    (spent,) = read_spending(tmp_path / "replies.sqlite")
    assert (spent.requests, spent.prompt_tokens) == (8, 56)


def test_direct_mode_keeps_what_was_answered(tmp_path: Path) -> None:
    both_in_flight, killed = threading.Event(), threading.Event()
    with scripted_server() as server:
        victim = Victim(server, tmp_path, concurrency=2, max_tokens=20)

        def answer(prompt: str) -> str:
            if prompt == "f":
                both_in_flight.set()
            if prompt in "ef":
                killed.wait(timeout=60)
            return f"reply to {prompt}"

        server.answer = answer
        assert both_in_flight.wait(timeout=60)
        victim.kill()
        assert victim.wait() == -signal.SIGKILL
        killed.set()
        assert len(server.requests) == 6
        chat = client(server.url, tmp_path, concurrency=2, max_tokens=20)
        replies = ask(chat, *PROMPTS)
        assert len(server.requests) == len(PROMPTS) + 2  # e and f were in flight
    assert all(r.text == f"reply to {p}" for p, r in replies.items())
    assert chat.usage.cached == 4
    total = chat.usage.total
    assert total is not None
    assert total.requests == 8
    assert total.prompt_tokens == 8 * 7 + 2 * 81  # and the two stay booked at their worst case
