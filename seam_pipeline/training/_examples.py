"""Rows to token ids for training, cut to length and counted."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from ..errors import SeamError
from ..models._tokens import prompt_ids, response_ids, reward_ids

IGNORED = -100


class Examples(NamedTuple):
    """Columns of a training set; `cut` examples were shortened, `left_out` taught nothing after the cut."""

    columns: dict[str, list[Any]]
    cut: int
    left_out: int

    @property
    def size(self) -> int:
        """Number of examples."""
        return len(self.columns["length"])

    @property
    def tokens(self) -> int:
        """Tokens of all examples."""
        return sum(self.columns["length"])


def first_rows(rows: pa.Table, n: int, what: str, setting: str) -> pa.Table:
    """The first n rows: a fixed random sample, and nested ones for growing n.

    Raises SeamError when there are fewer.
    """
    if n > rows.num_rows:
        raise SeamError(f"{n} {what} are wanted, but there are {rows.num_rows}; lower {setting} or add data.")
    return rows.slice(0, n)


def sft_examples(tokenizer: Any, rows: pa.Table, max_length: int) -> Examples:
    """Prompt, response and end token of each row, with labels on the response and end token only.

    A response keeps at least half of `max_length`: the prompt is cut on the left to make that room, then the
    response on the right (its end token goes with it).
    """
    prompts = prompt_ids(tokenizer, rows["instruction"].to_pylist())
    responses = response_ids(tokenizer, rows["golden_response"].to_pylist())
    columns: dict[str, list[Any]] = {"input_ids": [], "labels": [], "length": []}
    cut = 0
    for prompt, response in zip(prompts, responses, strict=True):
        room = max_length - min(len(response), max_length // 2)
        kept = prompt[-room:]
        answer = response[: max_length - len(kept)]
        cut += len(kept) < len(prompt) or len(answer) < len(response)
        columns["input_ids"].append([*kept, *answer])
        columns["labels"].append([IGNORED] * len(kept) + answer)
        columns["length"].append(len(kept) + len(answer))
    return Examples(columns, cut, 0)


def preference_examples(tokenizer: Any, pairs: pa.Table, max_length: int) -> Examples:
    """Both texts of each pair as the reward model reads them, with the end token.

    Long texts are cut on the right; pairs whose texts are then the same are left out.
    """
    columns: dict[str, list[Any]] = {"chosen_ids": [], "rejected_ids": [], "length": []}
    cut = 0
    chosen, rejected = (_texts(tokenizer, pairs, side) for side in ("chosen", "rejected"))
    for good, bad in zip(chosen, rejected, strict=True):
        cut += max(len(good), len(bad)) > max_length
        good, bad = _shorten(good, max_length), _shorten(bad, max_length)
        if good != bad:
            columns["chosen_ids"].append(good)
            columns["rejected_ids"].append(bad)
            columns["length"].append(len(good) + len(bad))
    return Examples(columns, cut, pairs.num_rows - len(columns["length"]))


def dpo_examples(tokenizer: Any, pairs: pa.Table, max_length: int) -> Examples:
    """Prompt and both responses of each pair, each with its end token; cut as in `sft_examples`."""
    prompts = prompt_ids(tokenizer, pairs["instruction"].to_pylist())
    sides = [response_ids(tokenizer, pairs[side].to_pylist()) for side in ("chosen", "rejected")]
    columns: dict[str, list[Any]] = {"prompt_ids": [], "chosen_ids": [], "rejected_ids": [], "length": []}
    cut = 0
    for prompt, good, bad in zip(prompts, *sides, strict=True):
        longest = max(len(good), len(bad))
        kept = prompt[-(max_length - min(longest, max_length // 2)) :]
        room = max_length - len(kept)
        cut += len(kept) < len(prompt) or longest > room
        if good[:room] != bad[:room]:
            parts = (kept, good[:room], bad[:room])
            for name, part in zip(columns, (*parts, sum(map(len, parts)) + len(kept)), strict=True):
                columns[name].append(part)
    return Examples(columns, cut, pairs.num_rows - len(columns["length"]))


def _texts(tokenizer: Any, pairs: pa.Table, side: str) -> list[list[int]]:
    texts = list(zip(pairs["instruction"].to_pylist(), pairs[side].to_pylist(), strict=True))
    return reward_ids(tokenizer, texts, append_eos=True)


def _shorten(ids: Sequence[int], max_length: int) -> list[int]:
    return list(ids) if len(ids) <= max_length else [*ids[: max_length - 1], ids[-1]]
