from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest
from pydantic import ValidationError

from seam_pipeline import tables
from seam_pipeline.candidates._paragraphs import read_answers
from seam_pipeline.candidates._texts import Distinct
from seam_pipeline.candidates.llm import TEMPLATE, _prompt, llm_candidates
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import LLMCandidates, LLMEndpoint
from seam_pipeline.llm._reply import worst_case
from seam_pipeline.llm.template import load_template, template_hash
from seam_pipeline.llm.usage import Usage
from seam_pipeline_tests.llm.server import OK, REFUSE, Scripted, scripted_server

RL = pa.table(
    {
        "id": ["a", "b"],
        "instruction": ["How do I brew beer?", "How do I bake bread?"],
        "golden_response": ["Boil the wort and add hops.", "Knead, wait, bake."],
    }
)


class Worse(NamedTuple):
    text: str
    kind: str


def test_testbed_generator() -> None:
    seeds = []

    def generate(instruction: str, golden: str, n: int, seed: int) -> list[Worse]:
        seeds.append(seed)
        return [
            Worse(golden, "copy"),
            Worse("Drink water.", "off topic"),
            Worse("drink  water", "again"),
            Worse("", "no"),
        ]

    table = llm_candidates(RL, LLMCandidates(), 3, 5, worse_answers=generate)
    assert table.schema == tables.CANDIDATES
    rows = table.to_pylist()
    assert [(r["id"], r["candidate_index"], r["candidate"], r["source"]) for r in rows[:2]] == [
        ("a", 0, "Drink water.", "off topic"),
        ("a", -1, None, "testbed"),
    ]
    assert rows[1]["reason"] == "1 of 3: the generator knows no more worse answers"
    llm_candidates(RL.slice(1), LLMCandidates(), 3, 5, worse_answers=generate)
    assert seeds[0] != seeds[1] == seeds[2]  # by seed and id, not by place


def test_word_order_makes_a_different_answer() -> None:
    distinct = Distinct(["hops add now please"], near=1.0)
    assert distinct.add("please add hops now")
    assert not distinct.add("Please add: hops, now!")


def test_generator_missing() -> None:
    with pytest.raises(SeamError, match="testbed"):
        llm_candidates(RL, LLMCandidates(), 3)


def test_server_generator_asks_once_per_row_and_accounts_for_all(tmp_path: Path) -> None:
    def write(prompt: str) -> str:
        if "bake bread" in prompt:
            return "I'm sorry, but I can't write misleading answers."
        assert "Boil the wort and add hops." in prompt
        return "Use cold water only.\n\nAdd the yeast to the boiling pot.\n\nBuy it, friend."

    with scripted_server(answer=write) as server:
        endpoint = LLMEndpoint(base_url=server.url, model="writer", api_key_env="SEAM_TEST_KEY")
        settings = LLMCandidates(generator="openai", endpoint=endpoint)
        first = llm_candidates(RL, settings, 3, cache_path=tmp_path / "c.sqlite")
        again = llm_candidates(RL, settings, 3, cache_path=tmp_path / "c.sqlite")
        assert len(server.requests) == 2
        template = tmp_path / "mine.txt"
        template.write_text("{n} bad answers to {instruction}, unlike {golden_response}: bake bread")
        llm_candidates(RL, settings.model_copy(update={"template": str(template)}), 3, cache_path=tmp_path / "c.sqlite")
        assert len(server.requests) == 4  # another template is another question
    assert first.equals(again)
    rows = first.to_pylist()
    assert [r["candidate_index"] for r in rows] == [0, 1, 2, -1]
    assert {r["source"] for r in rows} == {"writer"}
    assert rows[3]["reason"].startswith("0 of 3: refused: I'm sorry")


@pytest.mark.parametrize(
    "reply",
    [
        "Here are three answers:\n\n1. Use cold water.\n\n2. Ask your own cat.\n\n3. Beer is a fruit.",
        "**1.** Use cold water.\n**2.** Ask your own cat.\n**3.** Beer is a fruit.",
        "Answer 1: Use cold water.\n\nAnswer 2: Ask your own cat.\n\nAnswer 3: Beer is a fruit.",
        "**Answer 1**\nUse cold water.\n\n**Answer 2**\nAsk your own cat.\n\n**Answer 3**\nBeer is a fruit.",
        "Use cold water.\n\n \nAsk your own cat.\n\nBeer is a fruit.\n",
        "- Use cold water.\n- Ask your own cat.\n- Beer is a fruit.",
        "(1) Use cold water.\n\n(2) Ask your own cat.\n\n(3) Beer is a fruit.",
    ],
)
def test_numbering_and_preamble_are_stripped(reply: str) -> None:
    assert read_answers(reply, Distinct()).answers == ["Use cold water.", "Ask your own cat.", "Beer is a fruit."]


def test_dropped_answers_are_counted() -> None:
    reply = "Boil the WORT and add hops\n\nShort one\n\nUse cold water.\n\nuse cold water\n\nThis one is cut of"
    parsed = read_answers(reply, Distinct(["Boil the wort and add hops."], near=1.0), truncated=True)
    assert parsed.answers == ["Use cold water."]
    assert set(parsed.dropped) == {"1 cut off at max_tokens", "1 too short", "2 repeated or equal to the golden answer"}


def test_numbers_inside_an_answer_stay() -> None:
    answers = read_answers(
        "2019 was a good year for beer.\n\n3.5 litres are enough.\n\n7 hops make a beer.", Distinct()
    ).answers
    assert answers == ["2019 was a good year for beer.", "3.5 litres are enough.", "7 hops make a beer."]


def settings(server: Scripted, **changes: Any) -> LLMCandidates:
    of_endpoint = {k: changes.pop(k) for k in ("mode", "max_tokens_total", "temperature", "max_tokens") if k in changes}
    values = {"temperature": 0.7, "poll_seconds": 0.05, "retries": 0, **of_endpoint}
    endpoint = LLMEndpoint(base_url=server.url, model="writer", api_key_env="SEAM_TEST_KEY", **values)
    return LLMCandidates(generator="openai", endpoint=endpoint, **changes)


def writer() -> Callable[[str], str]:
    """Writes two answers a call: one that is always the same, one that no call has had before."""
    turns = count(1)
    return lambda prompt: f"Always the very same.\n\nAnswer number {next(turns)} of mine."


@pytest.mark.parametrize("mode", ["direct", "batch"])
def test_several_calls_share_the_answers_and_top_up_until_they_are_distinct(tmp_path: Path, mode: str) -> None:
    usages: list[Usage] = []
    with scripted_server(answer=writer()) as server:
        asked = settings(server, calls=2, max_calls=6, mode=mode)
        cache = tmp_path / "c.sqlite"
        table = llm_candidates(RL.slice(0, 1), asked, 4, cache_path=cache, used=usages.append)
        again = llm_candidates(RL.slice(0, 1), asked, 4, cache_path=cache, used=usages.append)
    texts = [row["candidate"] for row in table.to_pylist()]
    assert texts[0] == "Always the very same."
    assert len(set(texts)) == len(texts) == 4  # 2 calls gave 3 answers, a third one the fourth
    assert table.equals(again)
    assert [(u.requests, u.cached) for u in usages] == [(3, 0), (0, 3)]
    if mode == "direct":
        assert all("Write 2 different answers" in body["messages"][0]["content"] for body in server.requests)


def test_the_calls_end_at_max_calls_with_a_reason(tmp_path: Path) -> None:
    with scripted_server(answer=lambda prompt: "Always the very same.") as server:
        table = llm_candidates(RL.slice(0, 1), settings(server, max_calls=3), 2, cache_path=tmp_path / "c.sqlite")
        assert len(server.requests) == 3
    reason = table.to_pylist()[-1]["reason"]
    assert reason == "1 of 2 from 3 calls: the reply held no more; 1 repeated or equal to the golden answer (2 times)"


def test_refused_and_failed_calls_are_reasons_beside_the_answers_of_others(tmp_path: Path) -> None:
    with scripted_server(answer=lambda p: "Use cold water.") as server:
        asked = settings(server, calls=3)
        prompt = _prompt(worse_answers(), RL["instruction"][0].as_py(), RL["golden_response"][0].as_py(), 1)
        server.script[prompt] = [OK, REFUSE, 500]
        table = llm_candidates(RL.slice(0, 1), asked, 3, cache_path=tmp_path / "c.sqlite")
    rows = table.to_pylist()
    assert [row["candidate"] for row in rows] == ["Use cold water.", None]
    assert rows[1]["reason"] == (
        "1 of 3 from 3 calls: the reply held no more; refused: I would rather not.; the server answered 500: fault 500"
    )


def test_the_same_answer_of_all_calls_is_refused_in_the_settings() -> None:
    endpoint = LLMEndpoint(model="m")
    with pytest.raises(ValidationError, match="temperature above 0"):
        LLMCandidates(generator="openai", endpoint=endpoint, calls=2)
    with pytest.raises(ValidationError, match="temperature above 0"):
        LLMCandidates(generator="openai", endpoint=endpoint, max_calls=2)
    with pytest.raises(ValidationError, match="max_calls must not be below calls"):
        LLMCandidates(generator="openai", endpoint=LLMEndpoint(model="m", temperature=1), calls=3, max_calls=2)


def test_rows_over_the_budget_say_so_and_are_asked_when_it_is_raised(tmp_path: Path) -> None:
    with scripted_server(answer=lambda p: "Use cold water.\n\nAsk your own cat.") as server:
        prompt = _prompt(worse_answers(), RL["instruction"][0].as_py(), RL["golden_response"][0].as_py(), 2)
        limit = sum(worst_case(settings(server, max_tokens=50).endpoint, [("user", prompt)]))  # type: ignore[arg-type]
        low = settings(server, max_tokens=50, max_tokens_total=limit, max_calls=2)
        first = llm_candidates(RL, low, 2, cache_path=tmp_path / "c.sqlite").to_pylist()
        assert len(server.requests) == 1
        high = settings(server, max_tokens=50, max_tokens_total=2 * limit, max_calls=2)
        second = llm_candidates(RL, high, 2, cache_path=tmp_path / "c.sqlite").to_pylist()
        assert len(server.requests) == 2
    assert [row["candidate_index"] for row in first] == [0, 1, -1]
    assert first[2]["reason"].startswith("0 of 2: budget: the next request might exceed max_tokens_total")
    assert [row["candidate_index"] for row in second] == [0, 1, 0, 1]


def test_an_edited_template_asks_again_and_makes_the_asset_stale(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("{n} of {instruction} unlike {golden_response}")
    before = template_hash(str(own), "seam_pipeline.candidates", TEMPLATE)
    with scripted_server(answer=lambda p: "Use cold water.") as server:
        asked = settings(server, template=str(own))
        llm_candidates(RL.slice(0, 1), asked, 1, cache_path=tmp_path / "c.sqlite")
        own.write_text("Now {n} of {instruction} unlike {golden_response}")
        llm_candidates(RL.slice(0, 1), asked, 1, cache_path=tmp_path / "c.sqlite")
        assert [body["messages"][0]["content"].split()[0] for body in server.requests] == ["1", "Now"]
    assert template_hash(str(own), "seam_pipeline.candidates", TEMPLATE) != before
    assert template_hash(str(tmp_path / "gone"), "seam_pipeline.candidates", TEMPLATE) == "absent"


def worse_answers() -> str:
    return load_template(None, "seam_pipeline.candidates", TEMPLATE, ())
