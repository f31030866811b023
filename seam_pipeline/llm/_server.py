"""One request to the server through the openai client, and what its failures mean."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import openai

from ..errors import SeamError
from ..experiment import LLMEndpoint
from ._cache import Stored

_SENTENCES: dict[int, str] = {
    401: "refused the key; check the environment variable {env}",
    403: "does not allow this key to use model {model!r}; check the environment variable {env} and the model's name",
    404: "has no model {model!r} at this address; check base_url and model",
}


class Asked(NamedTuple):
    """`answered`: the model itself spoke (even to refuse), so the reply may be kept."""

    answered: bool
    reply: Stored


class Server:
    """An open connection pool; the client behind it retries with back-off."""

    def __init__(self, endpoint: LLMEndpoint, base_url: str, key: str) -> None:
        self._endpoint, self._base_url, self._key = endpoint, base_url, key

    async def __aenter__(self) -> Self:
        self._client = openai.AsyncOpenAI(
            api_key=self._key,
            base_url=self._base_url,
            timeout=self._endpoint.timeout_seconds,
            max_retries=self._endpoint.retries,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._client.close()

    async def ask(self, messages: Sequence[tuple[str, str]], *, first: bool = False) -> Asked:
        """The reply, or its failure as a reason; on the first row, one that all rows would share is a SeamError."""
        sent: list[Any] = [{"role": role, "content": content} for role, content in messages]
        try:
            completion = await self._client.chat.completions.create(
                model=self._endpoint.model,
                messages=sent,
                temperature=self._endpoint.temperature,
                max_tokens=self._endpoint.max_tokens,
            )
        except openai.APIError as error:
            if first:
                self._raise_if_shared(error)
            return _failure(self._reason(error))
        except ValueError as error:  # a body that is no JSON
            return _failure(f"the server's reply could not be read: {type(error).__name__}")
        return _read(completion)

    def _raise_if_shared(self, error: openai.APIError) -> None:
        if isinstance(error, openai.APIConnectionError) and type(error.__cause__).__name__ == "ConnectError":
            raise SeamError(f"No server answers at {self._base_url}; start it or correct base_url.") from None
        sentence = _SENTENCES.get(getattr(error, "status_code", 0))
        if sentence is not None:
            what = sentence.format(env=self._endpoint.api_key_env, model=self._endpoint.model)
            raise SeamError(f"The server at {self._base_url} {what}.") from None

    def _reason(self, error: openai.APIError) -> str:
        if isinstance(error, openai.APITimeoutError):
            return f"no reply within {self._endpoint.timeout_seconds:g} s, {self._endpoint.retries} retries"
        if isinstance(error, openai.APIConnectionError):
            return f"the connection broke ({type(error.__cause__ or error).__name__}), {self._endpoint.retries} retries"
        if isinstance(error, openai.APIStatusError):
            said = "" if error.status_code in (401, 403) else ": " + " ".join(str(error.message).split())[:200]
            return f"the server answered {error.status_code}{said}".replace(self._key, "***")
        return f"the server's reply could not be read: {type(error).__name__}"


def _failure(reason: str) -> Asked:
    return Asked(
        answered=False, reply=Stored(None, reason, truncated=False, prompt_tokens=None, completion_tokens=None)
    )


def _read(completion: Any) -> Asked:
    """Take a completion apart; servers that are almost compatible may leave anything out."""
    choices = getattr(completion, "choices", None)
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = getattr(choice, "message", None)
    if message is None:
        return _failure("the server's reply is no chat completion: it has no choices")
    usage = getattr(completion, "usage", None)
    tokens = (getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None))
    finish = getattr(choice, "finish_reason", None)
    text, refusal = getattr(message, "content", None), getattr(message, "refusal", None)
    if isinstance(text, str) and text.strip():
        return Asked(answered=True, reply=Stored(text, None, finish == "length", *tokens))
    why = f"refused: {refusal}" if refusal else f"the reply is empty (finish reason: {finish})"
    return Asked(answered=bool(refusal), reply=Stored(None, why, finish == "length", *tokens))
