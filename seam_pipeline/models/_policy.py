"""A language model with its tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ._compat import window_of
from ._tokens import prompt_ids, response_ids


@dataclass
class Policy:
    """A causal language model ready for inference; `model(input_ids, attention_mask, ...)` works as in transformers."""

    model: Any
    tokenizer: Any
    device: torch.device | str = "cpu"

    def __post_init__(self) -> None:
        self.device = torch.device(self.device)

    @property
    def eos_id(self) -> int:
        """The end-of-text token."""
        return int(self.tokenizer.eos_token_id)

    @property
    def pad_id(self) -> int:
        """The padding token; may be the end token."""
        return int(self.tokenizer.pad_token_id)

    @property
    def window(self) -> int | None:
        """Longest sequence in tokens, if the model states one."""
        return window_of(self.model)

    def prompt_ids(self, instructions: Sequence[str]) -> list[list[int]]:
        """Token ids of the prompts, with the tokenizer's own special tokens."""
        return prompt_ids(self.tokenizer, instructions)

    def response_ids(self, responses: Sequence[str]) -> list[list[int]]:
        """Token ids of the responses, each with leading space and end token."""
        return response_ids(self.tokenizer, responses)

    def token_ids(self, instruction: str, response: str) -> tuple[list[int], list[int]]:
        """(prompt ids, response ids with the end token) of one example."""
        return self.prompt_ids([instruction])[0], self.response_ids([response])[0]
