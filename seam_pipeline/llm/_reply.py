"""The body that is sent, and what the one that comes back says."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..experiment import LLMEndpoint
from ._cache import Stored

_PER_MESSAGE, _PER_REQUEST = 16, 64


class Tokens(NamedTuple):
    """Prompt and reply tokens."""

    prompt: int
    completion: int

    def __add__(self, other: "Tokens") -> "Tokens":  # type: ignore[override]
        return Tokens(self.prompt + other.prompt, self.completion + other.completion)


NOTHING = Tokens(0, 0)


class Asked(NamedTuple):
    """What came of one request.

    `answered`: the model itself spoke (even to refuse), so the reply is kept. `billed`: the server may charge for it.
    """

    answered: bool
    reply: Stored
    billed: bool

    def paid(self, worst: Tokens) -> Tokens:
        """Tokens to book: the server's own count, else the worst case."""
        if not self.billed:
            return NOTHING
        prompt, completion = self.reply.prompt_tokens, self.reply.completion_tokens
        return Tokens(
            worst.prompt if prompt is None else prompt, worst.completion if completion is None else completion
        )


def request_body(endpoint: LLMEndpoint, messages: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The JSON of a chat completion request, the same in both modes."""
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [{"role": role, "content": content} for role, content in messages],
        endpoint.max_tokens_name: endpoint.max_tokens,
    }
    return body if endpoint.temperature is None else {**body, "temperature": endpoint.temperature}


def worst_case(endpoint: LLMEndpoint, messages: Sequence[tuple[str, str]]) -> Tokens:
    """More than the request can cost: a token is at least one byte, plus what a chat template adds; a full reply."""
    prompt = sum(len(content.encode("utf-8", "replace")) + _PER_MESSAGE for _, content in messages)
    return Tokens(prompt + _PER_REQUEST, endpoint.max_tokens)


def failure(reason: str, *, billed: bool = False) -> Asked:
    """No reply; asked again in the next run."""
    return Asked(False, Stored(None, reason, truncated=False, prompt_tokens=None, completion_tokens=None), billed)


def read_completion(body: Any) -> Asked:
    """Take a completion apart; servers that are almost compatible may leave anything out."""
    choices = _of(body, "choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = _of(choice, "message")
    if not isinstance(message, Mapping):
        return failure("the server's reply is no chat completion: it has no choices", billed=True)
    usage = _of(body, "usage")
    tokens = (_count(_of(usage, "prompt_tokens")), _count(_of(usage, "completion_tokens")))
    finish = _of(choice, "finish_reason")
    cut = finish in ("length", "content_filter")
    text, refusal = message.get("content"), message.get("refusal")
    if isinstance(text, str) and text.strip():
        return Asked(True, Stored(text, None, cut, *tokens), billed=True)
    why = f"refused: {refusal}" if refusal else f"the reply is empty (finish reason: {finish})"
    return Asked(bool(refusal), Stored(None, why, cut, *tokens), billed=True)


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and value >= 0 else None
