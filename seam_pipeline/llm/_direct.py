"""Direct mode: one request per row, so many at once, none that the budget does not hold."""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

from ..errors import SeamError
from ._ledger import Ledger
from ._reply import NOTHING, Asked, Tokens, failure, worst_case
from ._server import Server
from .request import Request

Take = Callable[[str, Asked], None]
"""Told of each row's outcome by key."""


async def ask_directly(server: Server, ledger: Ledger, waiting: Mapping[str, Request], take: Take) -> None:
    """Ask every row, the first alone, so that a missing server costs one row's retries.

    Rows are reserved in order; where the budget ends, that row and all after it get the reason `budget: ...`.
    """
    queue = _Queue(ledger, server, waiting)

    async def work(*, first: bool = False) -> bool:
        row = await queue.next()
        if row is None:
            return False
        key, request, worst, reservation = row
        try:
            asked = await server.ask(request.messages, first=first)
        except SeamError:
            queue.settle(reservation)
            raise
        take(key, asked)
        queue.settle(reservation, asked.paid(worst), int(asked.billed))
        return True

    async def keep_working() -> None:
        while await work():
            pass

    await work(first=True)
    await asyncio.gather(*(keep_working() for _ in range(server.endpoint.concurrency)))
    if queue.rows:
        why = ledger.refusal()
        for key, _ in queue.rows:
            take(key, failure(why))


class _Queue:
    def __init__(self, ledger: Ledger, server: Server, waiting: Mapping[str, Request]) -> None:
        self.rows = deque(waiting.items())
        self._ledger, self._endpoint = ledger, server.endpoint
        self._turn, self._freed, self._in_flight = asyncio.Lock(), asyncio.Event(), 0

    async def next(self) -> tuple[str, Request, Tokens, int] | None:
        """The next row with its reservation; waits while requests in flight may still turn out cheaper."""
        async with self._turn:
            if not self.rows:
                return None
            worst = worst_case(self._endpoint, self.rows[0][1].messages)
            while (reservation := self._ledger.reserve(worst)) is None:
                if not self._in_flight:
                    return None
                self._freed.clear()
                await self._freed.wait()
            self._in_flight += 1
            return *self.rows.popleft(), worst, reservation

    def settle(self, reservation: int, paid: Tokens = NOTHING, requests: int = 0) -> None:
        self._ledger.settle(reservation, paid, requests)
        self._in_flight -= 1
        self._freed.set()
