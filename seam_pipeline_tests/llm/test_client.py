import asyncio
import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import LLMEndpoint
from seam_pipeline.llm.client import ChatClient, Reply, user
from seam_pipeline.llm.template import fill, load_template

from .server import CUT, EMPTY, HALF, HANG, NO_CHOICES, NOT_JSON, OK, REFUSE, Scripted, scripted_server


def client(server: Scripted | str, path: Path, **changes: Any) -> ChatClient:
    url = server if isinstance(server, str) else server.url
    settings = {"base_url": url, "model": "m", "api_key_env": "SEAM_TEST_KEY", "retries": 1, "timeout_seconds": 20}
    return ChatClient(LLMEndpoint(**{**settings, **changes}), path / "replies.sqlite")


def ask(chat: ChatClient, *prompts: str) -> list[Reply]:
    return chat.complete_many([user(p) for p in prompts])


def test_every_row_is_accounted_for(tmp_path: Path) -> None:
    script: dict[str, list[str | int]] = {
        "busy once": [429, OK],
        "broken once": [500, OK],
        "cut in half once": [HALF, OK],
        "always busy": [429],
        "always broken": [503],
        "bad request": [400],
        "not json": [NOT_JSON],
        "no choices": [NO_CHOICES],
        "refused": [REFUSE],
        "empty": [EMPTY],
        "cut": [CUT],
        "always half": [HALF],
    }
    prompts = ["good", *script, "good"]
    with scripted_server(script=script) as server:
        replies = dict(zip(prompts, ask(client(server, tmp_path), *prompts), strict=True))
        first_run = len(server.requests)
        again = dict(zip(prompts, ask(client(server, tmp_path), *prompts), strict=True))
        asked_again = {body["messages"][-1]["content"] for body in server.requests[first_run:]}
    for prompt in ("good", "busy once", "broken once", "cut in half once", "cut"):
        assert replies[prompt].text == f"reply to {prompt}"
        assert (replies[prompt].prompt_tokens, replies[prompt].completion_tokens) == (7, 3)
        assert again[prompt].cached
        assert again[prompt].text == replies[prompt].text
    assert replies["cut"].truncated
    assert again["cut"].truncated
    reasons = {prompt: reply.reason for prompt, reply in replies.items() if reply.text is None}
    assert reasons.keys() == script.keys() - {"busy once", "broken once", "cut in half once", "cut"}
    assert "429" in str(reasons["always busy"])
    assert "503" in str(reasons["always broken"])
    assert "fault 400" in str(reasons["bad request"])
    assert "could not be read" in str(reasons["not json"])
    assert "no choices" in str(reasons["no choices"])
    assert reasons["refused"] == "refused: I would rather not."
    assert "empty" in str(reasons["empty"])
    assert "connection broke" in str(reasons["always half"])
    assert asked_again == reasons.keys() - {"refused"}  # failures are tried again, answers (refusals too) are kept


def test_retry_after_is_obeyed_and_equal_requests_are_sent_once(tmp_path: Path) -> None:
    with scripted_server(script={"a": [429, OK]}, retry_after="2") as server:
        replies = ask(client(server, tmp_path), "a", "a")
        first, second = server.times["a"]
    assert second - first >= 2  # the client's own first back-off is at most half a second
    assert [r.text for r in replies] == ["reply to a", "reply to a"]


def test_a_hanging_server_gives_a_reason(tmp_path: Path) -> None:
    with scripted_server(script={"slow": [HANG]}) as server:
        good, slow = ask(client(server, tmp_path, timeout_seconds=0.3), "good", "slow")
        assert len(server.times["slow"]) == 2
    assert good.text == "reply to good"
    assert (slow.text, slow.reason) == (None, "no reply within 0.3 s, 1 retries")


def test_second_run_asks_nothing_and_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    with scripted_server() as server:
        ask(client(server, tmp_path), "a", "b")
        replies = client(server, tmp_path, concurrency=1, timeout_seconds=9, retries=0).complete_many(
            [user("a"), user("b")], lambda done, total: seen.append((done, total))
        )
        assert len(server.requests) == 2
    assert all(r.cached for r in replies)
    assert seen == [(2, 2)]


@pytest.mark.parametrize("change", [{"model": "other"}, {"temperature": 0.5}, {"max_tokens": 5}])
def test_what_changes_the_answer_is_in_the_key(tmp_path: Path, change: dict[str, Any]) -> None:
    with scripted_server() as server:
        ask(client(server, tmp_path), "a")
        assert not ask(client(server, tmp_path, **change), "a")[0].cached
        assert server.requests[1] == {**server.requests[0], **change}


def test_concurrency_is_limited(tmp_path: Path) -> None:
    with scripted_server(delay=0.05) as server:
        ask(client(server, tmp_path, concurrency=3), *(f"q{i}" for i in range(12)))
    assert server.most_at_once == 3


def test_key_goes_to_the_server_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SEAM_TEST_KEY", "very-secret")
    with scripted_server(script={"bad": [400]}) as server, caplog.at_level(logging.DEBUG):
        ask(client(server, tmp_path), "good", "bad")
    assert server.requests[0]["authorization"] == "Bearer very-secret"
    assert "very-secret" not in caplog.text
    assert all(b"very-secret" not in file.read_bytes() for file in tmp_path.iterdir())


def test_missing_key_names_the_variable_except_on_loopback(tmp_path: Path) -> None:
    with pytest.raises(SeamError, match="SEAM_TEST_KEY"):
        ask(client("https://llm.example/v1", tmp_path), "a")
    with scripted_server() as server:
        assert ask(client(server, tmp_path), "a")[0].text
        assert server.requests[0]["authorization"] == "Bearer unused"


def test_refused_key_names_the_variable(tmp_path: Path) -> None:
    with scripted_server(script={"a": [401]}) as server, pytest.raises(SeamError, match=r"127\.0\.0\.1.*SEAM_TEST_KEY"):
        ask(client(server, tmp_path), "a", "b")


def test_an_account_without_credit_stops_the_run(tmp_path: Path) -> None:
    with scripted_server(script={"a": [429]}, code="insufficient_quota") as server:
        with pytest.raises(SeamError, match="no credit left"):
            ask(client(server, tmp_path, retries=0), "a", "b")
        assert len(server.requests) == 1


def test_what_the_server_wants_it_called_and_leaving_the_temperature_to_it(tmp_path: Path) -> None:
    with scripted_server() as server:
        ask(client(server, tmp_path, max_tokens_name="max_completion_tokens", temperature=None, max_tokens=9), "a")
        body = server.requests[0]
    assert body["max_completion_tokens"] == 9
    assert body.keys().isdisjoint({"max_tokens", "temperature"})


def test_unreachable_server_names_the_address(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(SeamError, match=url):
        ask(client(url, tmp_path, retries=0), "a", "b")


def test_works_inside_a_running_loop(tmp_path: Path) -> None:
    async def notebook_cell() -> list[Reply]:
        return ask(client(server, tmp_path), "a")

    with scripted_server() as server:
        assert asyncio.run(notebook_cell())[0].text == "reply to a"


def test_a_damaged_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "replies.sqlite").write_text("no database, but long enough to look like one " * 50)
    with pytest.raises(SeamError, match=r"replies\.sqlite"):
        ask(client("http://127.0.0.1:9/v1", tmp_path), "a")


def test_templates(tmp_path: Path) -> None:
    assert fill("{a} and {b} and {c}", a="{b}", b="B") == "{b} and B and {c}"
    own = tmp_path / "own.txt"
    own.write_text("Only {instruction}")
    with pytest.raises(SeamError, match=r"own\.txt lacks \{response\}"):
        load_template(str(own), "seam_pipeline.judging", "single_answer.txt", ("instruction", "response"))
    with pytest.raises(SeamError, match=r"gone\.txt"):
        load_template(str(tmp_path / "gone.txt"), "seam_pipeline.judging", "single_answer.txt", ())
