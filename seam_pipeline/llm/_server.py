"""The connection to a server through the openai client, and what its failures mean."""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import openai

from ..errors import SeamError
from ..experiment import LLMEndpoint
from ._reply import Asked, failure, read_completion, request_body
from .key import Key

_SENTENCES: dict[int, str] = {
    401: "refused the key; check {source}",
    403: "does not allow this key to use model {model!r}; check {source} and the model's name",
    404: "has no model {model!r} at this address; check base_url and model",
}


class Server:
    """An open connection pool; the client behind it retries with back-off and obeys Retry-After up to two minutes."""

    def __init__(self, endpoint: LLMEndpoint, base_url: str, key: Key) -> None:
        self.endpoint, self.base_url, self.key = endpoint, base_url, key

    async def __aenter__(self) -> Self:
        self.client = openai.AsyncOpenAI(
            api_key=self.key.value,
            base_url=self.base_url,
            timeout=self.endpoint.timeout_seconds,
            max_retries=self.endpoint.retries,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.client.close()

    async def ask(self, messages: Sequence[tuple[str, str]], *, first: bool = False) -> Asked:
        """The reply, or its failure as a reason; on the first row, one that all rows would share is a SeamError."""
        try:
            completion = await self.client.chat.completions.create(**request_body(self.endpoint, messages))
        except openai.APIError as error:
            if first:
                self.raise_if_shared(error)
            return failure(self.reason(error), billed=not isinstance(error, openai.APIStatusError))
        except ValueError as error:  # a body that is no JSON
            return failure(f"the server's reply could not be read: {type(error).__name__}", billed=True)
        body = completion.to_dict(warnings=False) if isinstance(completion, openai.BaseModel) else completion
        return self.hidden(read_completion(body))

    def hidden(self, asked: Asked) -> Asked:
        """The same without the key, should the server have sent it back."""
        text, reason = (None if part is None else self.key.hide(part) for part in asked.reply[:2])
        return asked._replace(reply=asked.reply._replace(text=text, reason=reason))

    def raise_if_shared(self, error: openai.APIError) -> None:
        """Raise SeamError for a failure that every other request would meet too."""
        if isinstance(error, openai.APIConnectionError) and type(error.__cause__).__name__ == "ConnectError":
            raise SeamError(f"No server answers at {self.base_url}; start it or correct base_url.") from None
        sentence = _SENTENCES.get(getattr(error, "status_code", 0))
        if error.code == "insufficient_quota":
            sentence = "says that the account has no credit left; top it up and run again"
        if sentence is not None:
            what = sentence.format(source=self.key.source, model=self.endpoint.model)
            raise SeamError(f"The server at {self.base_url} {what}.") from None

    def reason(self, error: openai.APIError) -> str:
        """A failure in words, without the key."""
        if isinstance(error, openai.APITimeoutError):
            return f"no reply within {self.endpoint.timeout_seconds:g} s, {self.endpoint.retries} retries"
        if isinstance(error, openai.APIConnectionError):
            return f"the connection broke ({type(error.__cause__ or error).__name__}), {self.endpoint.retries} retries"
        if isinstance(error, openai.APIStatusError):
            said = "" if error.status_code in (401, 403) else f": {self.key.hide(_said(error))[:200]}"
            return f"the server answered {error.status_code}{said}"
        return f"the server's reply could not be read: {type(error).__name__}"


def _said(error: openai.APIStatusError) -> str:
    """The server's words; FastAPI's servers put them under `detail`."""
    detail = error.body.get("detail") if isinstance(error.body, Mapping) else None
    said = detail or str(error.message).removeprefix(f"Error code: {error.status_code} - ")
    return " ".join(str(said).split())
