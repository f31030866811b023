"""Chat completions from any OpenAI-compatible server: cached by row, limited in number and cost, never lost."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from ..experiment import LLMEndpoint
from ..progress import Progress, silent
from ._cache import ReplyCache, Stored, reply_key
from ._db import open_db
from ._ledger import Ledger
from ._reply import Asked
from .key import address, find_key
from .request import Reply, Request, user
from .usage import Spending, Usage, by_reason

__all__ = ["ChatClient", "Reply", "Request", "user"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class ChatClient:
    """Asks one endpoint and keeps its replies in `cache_path`.

    `purpose` names the account that its spending is booked to, beside the address and the model; the endpoint's budget
    is about that account, over all runs that share the file.
    """

    def __init__(self, endpoint: LLMEndpoint, cache_path: Path, purpose: str = "") -> None:
        self.endpoint, self.purpose = endpoint, purpose
        self.base_url = address(endpoint)
        self._cache_path = Path(cache_path)
        self._rows = self._cached = 0
        self._reasons: list[str] = []
        self._again: set[str] = set()
        self._first: Spending | None = None
        self._total: Spending | None = None

    def complete_many(self, requests: Sequence[Request], progress: Progress = silent) -> list[Reply]:
        """One reply per request, in order; equal requests are asked once, known ones not at all.

        A row that fails after its retries (429, 5xx, time-outs, broken connections; `Retry-After` is obeyed), gets
        something that is no chat completion, is left out by its batch, or is not asked because of the budget has a
        reason instead of a text, and is asked again in the next run. Raises SeamError when the key is missing or
        refused, when the first row finds no server or no such model, or when a batch is refused.
        """
        keys = [reply_key(self.base_url, self.endpoint, r.messages, r.sample) for r in requests]
        replies = _run(lambda: self._answer(dict(zip(keys, requests, strict=True)), progress))
        self._rows += len(replies)
        self._cached += sum(reply.cached for reply in replies.values())
        self._reasons += [reply.reason for reply in replies.values() if reply.reason is not None]
        _log.info("%s at %s: %s", self.endpoint.model, self.base_url, self.usage)
        return [replies[key] for key in keys]

    def spent(self) -> Spending:
        """The account's total over all runs so far."""
        with open_db(self._cache_path) as db:
            return Ledger(db, self.purpose, self.base_url, self.endpoint).total()

    @property
    def usage(self) -> Usage:
        """What this client's calls did and cost, and the account's total over all runs."""
        first, total = self._first, self._total
        if first is None or total is None:
            return Usage()
        dollars = None if total.dollars is None or first.dollars is None else total.dollars - first.dollars
        return Usage(
            self._rows,
            self._cached,
            total.requests - first.requests,
            total.prompt_tokens - first.prompt_tokens,
            total.completion_tokens - first.completion_tokens,
            dollars,
            by_reason(self._reasons),
            len(self._again),
            total,
        )

    async def _answer(self, requests: Mapping[str, Request], progress: Progress) -> dict[str, Reply]:
        replies: dict[str, Reply] = {}
        with open_db(self._cache_path) as db:
            cache, ledger = ReplyCache(db), Ledger(db, self.purpose, self.base_url, self.endpoint)
            self._first = self._first or ledger.total()
            for key in requests:
                if (stored := cache.get(key)) is not None:
                    replies[key] = _reply(stored, cached=True)
            progress(len(replies), len(requests))

            def take(key: str, asked: Asked) -> None:
                if asked.answered and self.endpoint.mode == "direct":
                    cache.put(key, self.endpoint.model, asked.reply)
                (self._again.discard if asked.answered else self._again.add)(key)
                replies[key] = _reply(asked.reply, cached=False)
                progress(len(replies), len(requests))

            waiting = {key: request for key, request in requests.items() if key not in replies}
            try:
                if waiting:
                    await self._ask(
                        db, ledger, cache, waiting, take, lambda n: progress(len(replies) + n, len(requests))
                    )
            finally:
                self._total = ledger.total()
        return replies

    async def _ask(
        self,
        db: sqlite3.Connection,
        ledger: Ledger,
        cache: ReplyCache,
        waiting: Mapping[str, Request],
        take: Callable[[str, Asked], None],
        seen: Callable[[int], None],
    ) -> None:
        from ._batch import BatchRun
        from ._batch_store import BatchStore
        from ._direct import ask_directly
        from ._server import Server

        async with Server(self.endpoint, self.base_url, find_key(self.endpoint)) as server:
            store = BatchStore(db, ledger, (self.purpose, self.base_url, self.endpoint.model))
            batches = BatchRun(server, store, ledger, cache, self._cache_path)
            if self.endpoint.mode == "batch":
                await batches.answer(waiting, take, seen)
                return
            if store.open():
                await batches.collect_ended(waiting, take)
                waiting = {key: request for key, request in waiting.items() if cache.get(key) is None}
            await ask_directly(server, ledger, waiting, take)


def _run(main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run to the end; in a thread of its own where a loop runs already, as in notebooks."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main())
    with ThreadPoolExecutor(1) as own_thread:
        return own_thread.submit(lambda: asyncio.run(main())).result()


def _reply(stored: Stored, *, cached: bool) -> Reply:
    return Reply(
        stored.text, stored.reason, stored.prompt_tokens, stored.completion_tokens, cached, truncated=stored.truncated
    )
