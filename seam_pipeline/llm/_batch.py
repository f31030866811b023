"""Batch mode: submit, survive a restart, collect; every row is accounted for.

Order of events, so that a kill at any moment submits nothing twice: intent (tag, rows, reservation) to disk; look for
the tag at the server; upload; create with the tag as metadata; id to disk; poll; results, tokens and end in one
transaction. After a kill an intent without an id is looked up by its tag before anything else is sent.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from filelock import FileLock

from ..errors import SeamError
from ._batch_api import BatchAPI, NoBatchAPIError, State
from ._batch_lines import read_results, request_line, write_lines
from ._batch_store import BatchStore, Open
from ._cache import ReplyCache
from ._direct import Take
from ._ledger import Ledger
from ._reply import NOTHING, Asked, Tokens, failure, worst_case
from ._server import Server
from .request import Request

MAX_REQUESTS, MAX_BYTES = 50_000, 200_000_000
"""What the API takes in one file."""
_MAX_SILENT = 10
"""Polls without an answer after which the run gives up; the batch goes on."""


class BatchRun:
    """The batches of one run. `cache_path` names their lock and the folder of their files."""

    def __init__(self, server: Server, store: BatchStore, ledger: Ledger, cache: ReplyCache, cache_path: Path) -> None:
        self._server, self._store, self._ledger, self._cache = server, store, ledger, cache
        self._api = BatchAPI(server)
        self._folder = cache_path.with_name(f"{cache_path.name}.batches")
        self._lock = FileLock(cache_path.with_name(f"{cache_path.name}.lock"))

    async def answer(self, rows: Mapping[str, Request], take: Take, seen: Callable[[int], None]) -> None:
        """Take the outcome of every row; `seen` is told how many the server says are done.

        Raises SeamError when the server cannot be reached or refuses a batch; what was submitted is collected by the
        next run.
        """
        waiting = dict(rows)

        def took(key: str, asked: Asked) -> None:
            if waiting.pop(key, None) is not None:
                take(key, asked)

        await self._collect_all(await self._left_open(waiting), rows, took, seen)
        while waiting:
            batches = await self._submit(waiting)
            if not batches:
                why = self._ledger.refusal()
                for key in tuple(waiting):
                    took(key, failure(why))
            await self._collect_all(batches, rows, took, seen)

    async def collect_ended(self, rows: Mapping[str, Request], take: Take) -> None:
        """For direct mode: what earlier batches have answered by now; it does not wait for the others."""

        def took(key: str, asked: Asked) -> None:
            if key in rows and asked.answered:
                take(key, asked)

        await self._collect_all(await self._left_open({}), rows, took, lambda done: None)

    async def _left_open(self, waiting: Mapping[str, Request]) -> list[Open]:
        """Batches of an earlier run that hold rows of this one, or have ended anyway."""
        with self._lock:
            batches = await self._open()
        return [b for b in batches if waiting.keys() & set(b.keys) or await self._has_ended(b)]

    async def _open(self) -> list[Open]:
        """Batches to collect, all at the server; an intent that never got there is dropped. The lock must be held."""
        batches = []
        for batch in self._store.open():
            if batch.batch_id is not None:
                batches.append(batch)
            elif (found := await self._at_server(batch)) is not None:
                batches.append(self._store.submitted(batch, found))
            else:
                self._store.drop(batch)
                self._path(batch).unlink(missing_ok=True)
        return batches

    async def _at_server(self, batch: Open) -> str | None:
        try:
            return await self._api.find(batch.tag)
        except NoBatchAPIError:
            return None

    async def _has_ended(self, batch: Open) -> bool:
        state = await self._api.state(batch.batch_id or "")
        return state is not None and state.ended

    async def _submit(self, waiting: Mapping[str, Request]) -> list[Open]:
        """Submit as many rows as the budget holds, in files of the size that the API takes.

        Rows that another process has submitted meanwhile come with its batch.
        """
        with self._lock:
            batches = [batch for batch in await self._open() if waiting.keys() & set(batch.keys)]
            theirs = {key for batch in batches for key in batch.keys}
            for keys, worst in self._chunks({key: r for key, r in waiting.items() if key not in theirs}):
                intent = self._store.intend(keys, worst)
                if intent is None:
                    break
                batches.append(self._store.submitted(intent, await self._send(intent, waiting)))
        return batches

    async def _send(self, intent: Open, waiting: Mapping[str, Request]) -> str:
        found = await self._api.find(intent.tag)
        if found is not None:
            return found
        path = self._path(intent)
        write_lines(path, (request_line(self._server.endpoint, key, waiting[key]) for key in intent.keys))
        return await self._api.create(await self._api.upload(path), intent.tag)

    def _chunks(self, waiting: Mapping[str, Request]) -> Iterator[tuple[list[str], Tokens]]:
        """(keys, worst case) of files within the limits; a file ends where the budget does."""
        keys: list[str] = []
        size, worst = 0, NOTHING
        for key, request in waiting.items():
            more = worst_case(self._server.endpoint, request.messages)
            length = len(request_line(self._server.endpoint, key, request))
            if keys and (len(keys) >= MAX_REQUESTS or size + length > MAX_BYTES):
                yield keys, worst
                keys, size, worst = [], 0, NOTHING
            if not self._ledger.fits(worst + more):
                break
            keys.append(key)
            size, worst = size + length, worst + more
        if keys:
            yield keys, worst

    async def _collect_all(
        self, batches: list[Open], rows: Mapping[str, Request], take: Take, seen: Callable[[int], None]
    ) -> None:
        pending, done, silent = list(batches), dict.fromkeys((b.tag for b in batches), 0), 0
        while pending:
            for batch in tuple(pending):
                state = await self._api.state(batch.batch_id or "")
                silent = silent + 1 if state is None else 0
                if silent > _MAX_SILENT:
                    raise SeamError(f"Batch {batch.batch_id} could not be looked at for long; run again to go on.")
                if state is not None and state.ended:
                    await self._collect(batch, state, rows, take)
                    pending.remove(batch)
                    done.pop(batch.tag)
                elif state is not None:
                    done[batch.tag] = state.done
            seen(sum(done.values()))
            if pending:
                await asyncio.sleep(self._server.endpoint.poll_seconds)

    async def _collect(self, batch: Open, state: State, rows: Mapping[str, Request], take: Take) -> None:
        found, unreadable = read_results([await self._api.read(file) for file in state.files])
        results = {key: found.get(key) or _missing(state, unreadable) for key in batch.keys}
        paid = [asked.paid(self._worst(rows.get(key))) for key, asked in results.items()]
        self._store.collect(batch, self._cache, results, paid, self._server.endpoint.model)
        self._path(batch).unlink(missing_ok=True)
        for key, asked in results.items():
            take(key, asked)

    def _worst(self, request: Request | None) -> Tokens:
        return worst_case(self._server.endpoint, request.messages) if request else NOTHING

    def _path(self, batch: Open) -> Path:
        return self._folder / f"{batch.tag}.jsonl"


def _missing(state: State, unreadable: int) -> Asked:
    """A row of which the results say nothing; a batch that completed may have charged for it."""
    lines = f", {unreadable} lines could not be read" if unreadable else ""
    said = f": {state.said}" if state.said else ""
    billed = state.status not in ("failed", "expired", "cancelled")
    return failure(f"the batch is {state.status} without this row{lines}{said}", billed=billed)
