"""Text to token ids: one tokenisation for training, scoring and RL (SPEC.md, section 6)."""

from collections.abc import Sequence
from typing import Any

from .prompt import full_text, prompt_text, response_text


def _encode(tokenizer: Any, texts: Sequence[str], specials: bool) -> list[list[int]]:
    if not texts:
        return []
    encoded: list[list[int]] = tokenizer(list(texts), add_special_tokens=specials, verbose=False)["input_ids"]
    return encoded


def prompt_ids(tokenizer: Any, instructions: Sequence[str]) -> list[list[int]]:
    """Prompts with the tokenizer's own special tokens, but no end token."""
    eos = tokenizer.eos_token_id
    encoded = _encode(tokenizer, [prompt_text(instruction) for instruction in instructions], specials=True)
    return [ids[:-1] if ids and ids[-1] == eos else ids for ids in encoded]


def response_ids(tokenizer: Any, responses: Sequence[str]) -> list[list[int]]:
    """Responses with their leading space and the end token, without other special tokens."""
    encoded = _encode(tokenizer, [response_text(response) for response in responses], specials=False)
    return [[*ids, tokenizer.eos_token_id] for ids in encoded]


def reward_ids(
    tokenizer: Any,
    pairs: Sequence[tuple[str, str]],
    append_eos: bool,
    max_length: int | None = None,
) -> list[list[int]]:
    """(instruction, response) texts as reward models read them: one string, its end token if the model wants one.

    With `max_length`, the text is cut on the right and the end token kept.
    """
    encoded = _encode(tokenizer, [full_text(*pair) for pair in pairs], specials=True)
    if not append_eos:
        return [ids if max_length is None else ids[:max_length] for ids in encoded]
    eos = tokenizer.eos_token_id
    bodies = (ids[:-1] if ids and ids[-1] == eos else ids for ids in encoded)
    return [[*(body if max_length is None else body[: max_length - 1]), eos] for body in bodies]
