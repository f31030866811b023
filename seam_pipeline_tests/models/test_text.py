"""Prompt text, token ids and content hashes."""

from pathlib import Path

import pytest

from seam_pipeline.errors import SeamError
from seam_pipeline.models._tokens import prompt_ids, response_ids, reward_ids
from seam_pipeline.models.content import content_hash
from seam_pipeline.models.prompt import full_text, prompt_text, response_text
from seam_pipeline_tests.tiny import tiny_tokenizer


def test_texts_are_those_of_the_specification() -> None:
    assert prompt_text("Why?") == "Question: Why?\n\nAnswer:"
    assert response_text("So.") == " So."
    assert full_text("Why?", "So.") == "Question: Why?\n\nAnswer: So."


def test_policy_tokens_have_one_start_and_one_end() -> None:
    tokenizer = tiny_tokenizer()
    (prompt,), (response,) = prompt_ids(tokenizer, ["Why?"]), response_ids(tokenizer, ["So."])
    assert prompt[0] == tokenizer.bos_token_id
    assert tokenizer.eos_token_id not in prompt
    assert response[-1] == tokenizer.eos_token_id
    assert tokenizer.bos_token_id not in response
    assert tokenizer.decode(prompt[1:] + response[:-1]) == "Question: Why?\n\nAnswer: So."


def test_reward_tokens_are_one_string_and_an_optional_end() -> None:
    tokenizer = tiny_tokenizer()
    plain = tokenizer("Question: Why?\n\nAnswer: So.")["input_ids"]
    assert reward_ids(tokenizer, [("Why?", "So.")], append_eos=False) == [plain]
    assert reward_ids(tokenizer, [("Why?", "So.")], append_eos=True) == [[*plain, tokenizer.eos_token_id]]
    assert reward_ids(tokenizer, [("Why?", "So.")], True, max_length=5) == [[*plain[:4], tokenizer.eos_token_id]]
    assert reward_ids(tokenizer, [("Why?", "So.")], False, max_length=5) == [plain[:5]]


def test_a_tokenizer_that_adds_its_own_end_gets_no_second_one() -> None:
    tokenizer = tiny_tokenizer()
    plain = tokenizer("Question: Why?\n\nAnswer: So.")["input_ids"]
    bare = prompt_ids(tokenizer, ["Why?"])
    from tokenizers import processors

    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    assert prompt_ids(tokenizer, ["Why?"]) == bare
    assert reward_ids(tokenizer, [("Why?", "So.")], append_eos=True) == [[*plain, 2]]


def test_content_hash_sees_bytes_and_names_but_not_order_or_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
    for folder, order in (("one", ["a", "sub/b"]), ("two", ["sub/b", "a"])):
        for name in order:
            (tmp_path / folder / name).write_text(f"content of {name}")
    before = content_hash(tmp_path / "one")
    assert before == content_hash(tmp_path / "two")
    (tmp_path / "two" / "a").rename(tmp_path / "two" / "c")
    assert content_hash(tmp_path / "two") != before
    (tmp_path / "one" / "a").write_text("content of A")
    assert content_hash(tmp_path / "one") != before
    assert content_hash(tmp_path / "one" / "sub" / "b") == content_hash(tmp_path / "two" / "sub" / "b")
    with pytest.raises(SeamError, match="Nothing at"):
        content_hash(tmp_path / "three")


def test_content_hash_does_not_run_names_and_bytes_together(tmp_path: Path) -> None:
    for folder, files in (("one", {"a": "bc"}), ("two", {"ab": "c"}), ("three", {"a": "b", "c": ""})):
        (tmp_path / folder).mkdir()
        for name, text in files.items():
            (tmp_path / folder / name).write_text(text)
    assert len({content_hash(tmp_path / name) for name in ("one", "two", "three")}) == 3
