from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pytest

from seam_pipeline import tables
from seam_pipeline.candidates._paragraphs import read_answers
from seam_pipeline.candidates._texts import Distinct
from seam_pipeline.candidates.llm import llm_candidates
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import LLMCandidates, LLMEndpoint
from seam_pipeline_tests.llm.server import scripted_server

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
    assert read_answers(reply, "gold").answers == ["Use cold water.", "Ask your own cat.", "Beer is a fruit."]


def test_dropped_answers_are_counted() -> None:
    reply = "Boil the WORT and add hops\n\nShort one\n\nUse cold water.\n\nuse cold water\n\nThis one is cut of"
    parsed = read_answers(reply, "Boil the wort and add hops.", truncated=True)
    assert parsed.answers == ["Use cold water."]
    assert set(parsed.dropped) == {"1 cut off at max_tokens", "1 too short", "2 repeated or equal to the golden answer"}


def test_numbers_inside_an_answer_stay() -> None:
    answers = read_answers(
        "2019 was a good year for beer.\n\n3.5 litres are enough.\n\n7 hops make a beer.", "gold"
    ).answers
    assert answers == ["2019 was a good year for beer.", "3.5 litres are enough.", "7 hops make a beer."]
