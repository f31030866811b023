import json
from pathlib import Path

import pytest

from seam_pipeline.errors import SeamError
from seam_pipeline.llm import _batch
from seam_pipeline.llm.client import user
from seam_pipeline.llm.usage import read_spending

from .asking import ask, client
from .batch_server import HALF_LINE, MISSING
from .server import CUT, REFUSE, scripted_server

PROMPTS = ("a", "b", "c", "d")


def test_a_batch_answers_every_row_and_direct_mode_knows_the_replies(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with scripted_server() as server:
        server.batches.polls = 2
        batch = client(server.url, tmp_path, mode="batch", temperature=0.7)
        replies = ask(batch, *PROMPTS)
        assert {p: r.text for p, r in replies.items()} == {p: f"reply to {p}" for p in PROMPTS}
        assert not server.requests
        assert len(server.batches.made) == 1
        direct = client(server.url, tmp_path, temperature=0.7)
        again = direct.complete_many([], lambda done, total: seen.append((done, total)))
        assert again == []
        assert all(r.cached for r in ask(direct, *PROMPTS).values())
        assert not server.requests
        line = json.loads(server.batches.files["file-0"].splitlines()[0])
    assert line["url"] == "/v1/chat/completions"
    assert line["body"] == {
        "model": "m",
        "messages": [{"role": "user", "content": "a"}],
        "max_tokens": 2048,
        "temperature": 0.7,
    }
    assert (batch.usage.rows, batch.usage.requests, batch.usage.prompt_tokens) == (4, 4, 28)
    assert not list((tmp_path / "replies.sqlite.batches").iterdir())  # the uploaded file goes when its results are in


def test_every_row_of_a_batch_has_a_text_or_a_reason(tmp_path: Path) -> None:
    script: dict[str, list[str | int]] = {
        "error line": [500],
        "no line": [MISSING],
        "broken line": [HALF_LINE],
        "refused": [REFUSE],
        "cut": [CUT],
    }
    with scripted_server(script=script) as server:
        chat = client(server.url, tmp_path, mode="batch")
        replies = ask(chat, "good", *script)
        again = ask(client(server.url, tmp_path, mode="batch"), "good", *script)
        second = server.batches.files[server.batches.made[1]["input_file_id"]]
    assert replies["good"].text == "reply to good"
    assert replies["cut"].truncated
    reasons = {prompt: str(r.reason) for prompt, r in replies.items() if r.text is None}
    assert reasons == {
        "error line": "the server answered 500: fault 500",
        "no line": "the batch is completed without this row, 1 lines could not be read",
        "broken line": "the batch is completed without this row, 1 lines could not be read",
        "refused": "refused: I would rather not.",
    }
    assert again["refused"].cached
    asked = {json.loads(line)["body"]["messages"][0]["content"] for line in second.splitlines()}
    assert asked == {"error line", "no line", "broken line"}
    assert chat.usage.failures["the server answered 500"] == 1


@pytest.mark.parametrize("end", ["expired", "cancelled", "failed"])
def test_a_batch_that_does_not_complete_gives_reasons_and_is_asked_anew(tmp_path: Path, end: str) -> None:
    with scripted_server() as server:
        server.batches.end, server.batches.said = [end, "completed"], "enqueued token limit reached"
        first = ask(client(server.url, tmp_path, mode="batch"), *PROMPTS)
        second = ask(client(server.url, tmp_path, mode="batch"), *PROMPTS)
        tags = [batch["metadata"]["seam_tag"] for batch in server.batches.made]
    reasons = [r.reason for r in first.values() if r.text is None]
    assert len(reasons) == (4 if end == "failed" else 2)
    expected = {
        "expired": "the batch gave an error for this row: late",
        "cancelled": "the batch is cancelled without this row",
        "failed": "the batch is failed without this row: enqueued token limit reached",
    }
    assert set(reasons) == {expected[end]}
    assert all(r.text for r in second.values())
    assert len(set(tags)) == 2


def test_a_whole_batch_that_fails_twice_gets_a_new_tag(tmp_path: Path) -> None:
    with scripted_server() as server:
        server.batches.end = ["failed", "failed", "completed"]
        for _ in range(3):
            last = ask(client(server.url, tmp_path, mode="batch"), *PROMPTS)
        assert len({batch["metadata"]["seam_tag"] for batch in server.batches.made}) == 3
    assert all(r.text for r in last.values())


def test_files_are_split_at_the_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted_server() as server:
        monkeypatch.setattr(_batch, "MAX_REQUESTS", 3)
        assert all(r.text for r in ask(client(server.url, tmp_path, mode="batch"), *"abcdefg").values())
        sizes = [server.batches.files[b["input_file_id"]].count(b"\n") for b in server.batches.made]
        assert sizes == [3, 3, 1]
        line = len(server.batches.files["file-0"].splitlines()[0]) + 1
        monkeypatch.setattr(_batch, "MAX_BYTES", 2 * line)
        ask(client(server.url, tmp_path, mode="batch"), *"hijk")
        files = [server.batches.files[b["input_file_id"]] for b in server.batches.made[3:]]
        assert [len(file) for file in files] == [2 * line, 2 * line]
    assert (3, 2 * line) == (_batch.MAX_REQUESTS, _batch.MAX_BYTES)


@pytest.mark.parametrize("step", ["made 500", 429, 500])
def test_a_creation_of_unknown_outcome_is_looked_up_before_it_is_tried_again(tmp_path: Path, step: int | str) -> None:
    with scripted_server() as server:
        server.batches.create = [step]
        assert all(r.text for r in ask(client(server.url, tmp_path, mode="batch"), *PROMPTS).values())
        assert len(server.batches.made) == 1
        creations = [event for event in server.batches.events if event in ("create", "list")]
    assert creations == ["list", "create", "list"] + (["create"] if step != "made 500" else [])


def test_a_lost_cache_finds_its_batch_at_the_server(tmp_path: Path) -> None:
    with scripted_server() as server:
        ask(client(server.url, tmp_path / "1", mode="batch"), *PROMPTS)
        for other in "efg":  # the looked-for batch is on a later page
            ask(client(server.url, tmp_path / "1", mode="batch"), other)
        assert all(r.text for r in ask(client(server.url, tmp_path / "2", mode="batch"), *PROMPTS).values())
        assert len(server.batches.made) == 4


def test_direct_mode_takes_what_a_batch_has_ready_and_does_not_wait_for_others(tmp_path: Path) -> None:
    def stop(event: str) -> None:
        if event == "poll":
            raise ConnectionAbortedError

    with scripted_server() as server:
        chat = client(server.url, tmp_path, mode="batch", retries=0, poll_seconds=0.001)
        server.batches.on = stop
        with pytest.raises(SeamError, match=r"batch_0|Batch batch_0"):
            ask(chat, *PROMPTS)
        server.batches.on = lambda event: None
        assert all(r.text for r in ask(client(server.url, tmp_path), *PROMPTS).values())
        assert not server.requests


def test_a_server_without_batches_is_named(tmp_path: Path) -> None:
    with scripted_server() as server:
        with pytest.raises(SeamError, match="no Batch API; set the endpoint's mode: direct"):
            ask(client(server.url + "/nothing", tmp_path, mode="batch"), "a")
        server.batches.create = [400]
        with pytest.raises(SeamError, match=r"refused the batch \(the server answered 400: not now"):
            ask(client(server.url, tmp_path, mode="batch"), "a")
        assert ask(client(server.url, tmp_path, mode="batch"), "a")["a"].text  # the refused intent is not in the way


def test_after_a_server_without_batches_direct_mode_goes_on_with_the_whole_budget(tmp_path: Path) -> None:
    with scripted_server() as server:
        server.batches.absent = True
        with pytest.raises(SeamError, match="no Batch API; set the endpoint's mode: direct"):
            ask(client(server.url, tmp_path, mode="batch", max_tokens=50), "a", "b")
        chat = client(server.url, tmp_path, max_tokens=50, max_tokens_total=200)
        assert all(r.text for r in ask(chat, "a", "b").values())
    assert not list(tmp_path.rglob("*.jsonl"))
    (spent,) = read_spending(tmp_path / "replies.sqlite")
    assert (spent.requests, spent.prompt_tokens, spent.completion_tokens) == (2, 14, 6)


def test_result_files_that_are_gone_are_reasons_and_count_as_paid(tmp_path: Path) -> None:
    with scripted_server() as server:
        server.batches.lose_results = True
        replies = ask(client(server.url, tmp_path, mode="batch", max_tokens=50), *PROMPTS)
    assert {r.reason for r in replies.values()} == {"the batch is completed without this row"}
    (spent,) = read_spending(tmp_path / "replies.sqlite")
    assert (spent.purpose, spent.requests, spent.prompt_tokens, spent.completion_tokens) == ("test", 4, 4 * 81, 200)


def test_progress_follows_the_server(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with scripted_server() as server:
        server.batches.polls = 2
        chat = client(server.url, tmp_path, mode="batch")
        chat.complete_many([user(p) for p in PROMPTS], lambda done, total: seen.append((done, total)))
    assert seen == [(0, 4), (1, 4), (1, 4), (1, 4), (2, 4), (3, 4), (4, 4), (4, 4)]
