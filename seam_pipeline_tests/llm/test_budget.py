import sqlite3
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from seam_pipeline.experiment import LLMEndpoint
from seam_pipeline.llm.client import ChatClient
from seam_pipeline.llm.usage import Usage, read_spending

from .asking import ask, client
from .batch_server import MISSING
from .server import HANG, NO_CHOICES, scripted_server
from .wire import NO_USAGE

PROMPTS = tuple("abcdefgh")
WORST = 1 + 16 + 64 + 20
"""Tokens reserved for one of the prompts: its byte, the allowances, max_tokens 20."""
PAID = 10
"""What the scripted server charges."""


def answered(chat: ChatClient, *prompts: str) -> int:
    return sum(reply.text is not None for reply in ask(chat, *prompts).values())


@pytest.mark.parametrize("mode", ["direct", "batch"])
@pytest.mark.parametrize(
    ("tokens", "rows"), [(WORST - 1, 0), (WORST, 1), (WORST + PAID - 1, 1), (WORST + 4 * PAID, 5), (WORST + 90, 8)]
)
def test_a_token_budget_is_never_exceeded_and_used_up(tmp_path: Path, mode: str, tokens: int, rows: int) -> None:
    with scripted_server() as server:
        chat = client(server.url, tmp_path, mode=mode, max_tokens=20, max_tokens_total=tokens, concurrency=3)
        replies = ask(chat, *PROMPTS)
        sent = len(server.requests) + sum(f.count(b"custom_id") for n, f in server.batches.files.items()) // 2
        assert sent == rows
    texts = [r.text for r in replies.values()]
    assert texts == [f"reply to {p}" for p in PROMPTS[:rows]] + [None] * (8 - rows)  # a prefix, in order
    assert all(r.over_budget for r in list(replies.values())[rows:])
    assert chat.usage.prompt_tokens + chat.usage.completion_tokens == rows * PAID <= tokens
    if rows < 8:
        assert chat.usage.failures == {"budget": 8 - rows}


def test_a_higher_budget_asks_the_rest_and_what_was_spent_is_remembered(tmp_path: Path) -> None:
    with scripted_server() as server:
        low: dict[str, Any] = {"max_tokens": 20, "max_tokens_total": WORST + 2 * PAID}
        assert answered(client(server.url, tmp_path, **low), *PROMPTS) == 3
        assert answered(client(server.url, tmp_path, **low), *PROMPTS) == 3  # the same budget, run again: no more
        higher = {**low, "max_tokens_total": WORST + 4 * PAID}
        chat = client(server.url, tmp_path, **higher)
        assert answered(chat, *PROMPTS) == 5
        assert len(server.requests) == 5
        assert (chat.usage.rows, chat.usage.cached, chat.usage.requests) == (8, 3, 2)
        assert chat.usage.total is not None
        assert (chat.usage.total.requests, chat.usage.total.prompt_tokens) == (5, 35)
        other = ChatClient(chat.endpoint, tmp_path / "replies.sqlite", "another purpose")
        assert answered(other, "x") == 1  # its own account


def test_money(tmp_path: Path) -> None:
    prices = {"dollars_per_million_input": 1e6, "dollars_per_million_output": 2e6, "max_tokens": 20}
    worst, paid = 81 + 2 * 20, 7 + 2 * 3  # one dollar a prompt token, two a reply token
    with scripted_server() as server:
        direct = client(server.url, tmp_path / "d", max_dollars=worst + 2 * paid, **prices)
        assert answered(direct, *PROMPTS) == 3
        assert direct.usage.dollars == 3 * paid
        half = client(server.url, tmp_path / "b", mode="batch", max_dollars=(worst + 2 * paid) / 2, **prices)
        assert answered(half, *PROMPTS) == 3
        assert half.usage.dollars == 3 * paid / 2
    assert half.endpoint.dollars(1, 1, "direct") == 3
    with pytest.raises(ValidationError, match="max_dollars needs"):
        LLMEndpoint(model="m", max_dollars=1, dollars_per_million_input=1)


def test_unknown_costs_count_as_the_worst_case_and_refusals_by_the_server_as_nothing(tmp_path: Path) -> None:
    script: dict[str, list[str | int]] = {"a": [429], "b": [500], "c": [NO_CHOICES], "d": [HANG], "e": [NO_USAGE]}
    with scripted_server(script=script) as server:
        chat = client(server.url, tmp_path, max_tokens=20, timeout_seconds=0.3, retries=0)
        ask(chat, "good", *script)
    worst = (81, 20)
    assert chat.usage.requests == 4
    assert (chat.usage.prompt_tokens, chat.usage.completion_tokens) == (7 + 3 * worst[0], 3 + 3 * worst[1])


def test_two_processes_share_a_budget(tmp_path: Path) -> None:
    """What another process has reserved is not there to be spent."""
    with scripted_server() as server:
        ask(client(server.url, tmp_path, max_tokens=20), "a")
        with sqlite3.connect(tmp_path / "replies.sqlite") as db:
            row = ("test", server.url, "m", "direct", 500, 500)
            columns = "purpose, base_url, model, mode, prompt_tokens, completion_tokens"
            db.execute(f"INSERT INTO reserved ({columns}) VALUES (?, ?, ?, ?, ?, ?)", row)
        limit = PAID + 1000 + WORST
        assert answered(client(server.url, tmp_path, max_tokens=20, max_tokens_total=limit - 1), "b") == 0
        assert answered(client(server.url, tmp_path, max_tokens=20, max_tokens_total=limit), "b") == 1
    (spent,) = read_spending(tmp_path / "replies.sqlite")
    assert spent[3:6] == (2, 500 + 14, 500 + 6)


def test_a_batch_reserves_until_it_is_collected(tmp_path: Path) -> None:
    with scripted_server(script={"b": [MISSING]}) as server:
        chat = client(server.url, tmp_path, mode="batch", max_tokens=20, max_tokens_total=2 * WORST)
        assert answered(chat, "a", "b", "c") == 1
        sizes = [server.batches.files[b["input_file_id"]].count(b"\n") for b in server.batches.made]
    assert sizes == [2]  # b may have been charged: after it, 2 x WORST does not hold another request
    assert chat.usage.prompt_tokens + chat.usage.completion_tokens == PAID + WORST


def test_usage_as_notes_and_text(tmp_path: Path) -> None:
    assert Usage().notes()["llm_requests"] == 0
    assert read_spending(tmp_path / "none.sqlite") == []
    with scripted_server(script={"bad": [400]}) as server:
        chat = client(server.url, tmp_path, dollars_per_million_input=1, dollars_per_million_output=1)
        ask(chat, "good", "bad")
    notes = chat.usage.notes()
    assert (notes["llm_rows"], notes["llm_requests"], notes["llm_dollars"]) == (2, 1, 0.00001)
    assert notes["llm_failures"] == '{"the server answered 400": 1}'
    assert str(chat.usage).startswith("2 rows: 0 known, 1 requests, 7 prompt and 3 reply tokens")
