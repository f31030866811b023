"""Chat completions from any OpenAI-compatible server: cached by row, limited in number, retried, never lost."""

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from ..errors import SeamError
from ..experiment import LLMEndpoint
from ..progress import Progress, silent
from ._cache import ReplyCache, Stored, reply_key
from ._server import Asked, Server

_DEFAULT_URL = "https://api.openai.com/v1"


@dataclass(frozen=True)
class Request:
    """One question: (role, content) messages; `sample` tells repeated draws of the same messages apart."""

    messages: tuple[tuple[str, str], ...]
    sample: int = 0


@dataclass(frozen=True)
class Reply:
    """One answer, or the reason why there is none; `truncated` when it was cut at max_tokens."""

    text: str | None
    reason: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cached: bool
    truncated: bool = False


def user(content: str) -> Request:
    """A request of one user message."""
    return Request((("user", content),))


class ChatClient:
    """Asks one endpoint and keeps its replies in `cache_path`."""

    def __init__(self, endpoint: LLMEndpoint, cache_path: Path) -> None:
        self.endpoint = endpoint
        self.base_url = (endpoint.base_url or os.environ.get("OPENAI_BASE_URL") or _DEFAULT_URL).rstrip("/")
        self._cache_path = Path(cache_path)

    def complete_many(self, requests: Sequence[Request], progress: Progress = silent) -> list[Reply]:
        """One reply per request, in order; equal requests are asked once, known ones not at all.

        A row that fails after its retries (429, 5xx, time-outs, broken connections; `Retry-After` is obeyed) or gets
        something that is no chat completion has a reason instead of a text, and is asked again in the next run.
        Raises SeamError when the key is missing or refused, or when the first row finds no server or no such model.
        """
        keys = [reply_key(self.base_url, self.endpoint, r.messages, r.sample) for r in requests]
        with ThreadPoolExecutor(1) as own_thread:  # asyncio.run fails where a loop runs already, as in notebooks
            replies = own_thread.submit(self._answer, dict(zip(keys, requests, strict=True)), progress).result()
        return [replies[key] for key in keys]

    def _answer(self, requests: dict[str, Request], progress: Progress) -> dict[str, Reply]:
        replies: dict[str, Reply] = {}
        with ReplyCache(self._cache_path) as cache:
            for key in requests:
                if (stored := cache.get(key)) is not None:
                    replies[key] = _reply(stored, cached=True)
            progress(len(replies), len(requests))

            def take(key: str, asked: Asked) -> None:
                if asked.answered:
                    cache.put(key, self.endpoint.model, asked.reply)
                replies[key] = _reply(asked.reply, cached=False)
                progress(len(replies), len(requests))

            waiting = {key: request for key, request in requests.items() if key not in replies}
            if waiting:
                asyncio.run(self._ask(waiting, take))
        return replies

    async def _ask(self, waiting: dict[str, Request], take: Callable[[str, Asked], None]) -> None:
        """Send the first row alone, so that a missing server costs one row's retries, then the others together."""
        async with Server(self.endpoint, self.base_url, self._key()) as server:
            rows = iter(waiting.items())
            key, request = next(rows)
            take(key, await server.ask(request.messages, first=True))
            workers = [self._work(server, rows, take) for _ in range(self.endpoint.concurrency)]
            await asyncio.gather(*workers)

    async def _work(
        self, server: Server, rows: Iterator[tuple[str, Request]], take: Callable[[str, Asked], None]
    ) -> None:
        for key, request in rows:
            take(key, await server.ask(request.messages))

    def _key(self) -> str:
        name = self.endpoint.api_key_env
        if value := os.environ.get(name, "").strip():
            return value
        if _is_loopback(self.base_url):
            return "unused"
        raise SeamError(f"The key for {self.base_url} is missing: set the environment variable {name}.")


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _reply(stored: Stored, *, cached: bool) -> Reply:
    return Reply(
        stored.text, stored.reason, stored.prompt_tokens, stored.completion_tokens, cached, truncated=stored.truncated
    )
