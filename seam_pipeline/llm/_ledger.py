"""What was spent, and whether more may be: reserved before a request, settled after it."""

import sqlite3
from typing import Any

from ..experiment import LLMEndpoint
from ._db import transaction
from ._reply import NOTHING, Tokens
from .usage import Spending

_SCOPE = "purpose = ? AND base_url = ? AND model = ?"


class Ledger:
    """The spending of one purpose at one address on one model, over all runs that share the file.

    What is reserved counts as spent until it is settled: a request that was in flight when its process died stays
    booked at its worst case, because the server may have charged for it.
    """

    def __init__(self, db: sqlite3.Connection, purpose: str, base_url: str, endpoint: LLMEndpoint) -> None:
        self._db, self._endpoint = db, endpoint
        self._scope = (purpose, base_url, endpoint.model)

    def reserve(self, worst: Tokens) -> int | None:
        """Set tokens aside; None when the budget does not hold them any more."""
        with transaction(self._db):
            if not self.fits(worst):
                return None
            columns = "purpose, base_url, model, mode, prompt_tokens, completion_tokens"
            row = (*self._scope, self._endpoint.mode, *worst)
            made = self._db.execute(f"INSERT INTO reserved ({columns}) VALUES (?, ?, ?, ?, ?, ?)", row)
        return made.lastrowid

    def settle(self, reservation: int, paid: Tokens = NOTHING, requests: int = 0) -> None:
        """Replace a reservation by what was really paid."""
        with transaction(self._db):
            found = self._db.execute("DELETE FROM reserved WHERE id = ? RETURNING mode", (reservation,)).fetchone()
            if found is None or not requests:
                return
            self._db.execute(
                "INSERT INTO spending VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
                "requests = requests + excluded.requests, prompt_tokens = prompt_tokens + excluded.prompt_tokens, "
                "completion_tokens = completion_tokens + excluded.completion_tokens",
                (*self._scope, found[0], requests, *paid),
            )

    def refusal(self) -> str:
        """The reason of a row that was not asked."""
        spent, e = self.total(), self._endpoint
        limits = [f"max_tokens_total {e.max_tokens_total:,}"] if e.max_tokens_total is not None else []
        limits += [f"max_dollars {e.max_dollars:g}"] if e.max_dollars is not None else []
        return f"budget: the next request might exceed {' or '.join(limits)}; {spent} so far"

    def total(self) -> Spending:
        """Everything so far, reservations included."""
        rows, e = self._rows(), self._endpoint
        requests, prompt, completion = (sum(row[column] for row in rows) for column in (1, 2, 3))
        dollars = sum(e.dollars(row[2], row[3], row[0]) or 0.0 for row in rows)
        return Spending(*self._scope, requests, prompt, completion, None if e.dollars(0, 0) is None else dollars)

    def fits(self, more: Tokens) -> bool:
        """Does the budget hold these tokens?"""
        e = self._endpoint
        if e.max_tokens_total is None and e.max_dollars is None:
            return True
        spent = self.total()
        tokens = spent.prompt_tokens + spent.completion_tokens + more.prompt + more.completion
        if e.max_tokens_total is not None and tokens > e.max_tokens_total:
            return False
        dollars, price = spent.dollars, e.dollars(*more)
        return e.max_dollars is None or dollars is None or price is None or dollars + price <= e.max_dollars

    def _rows(self) -> list[Any]:
        settled = f"SELECT mode, requests, prompt_tokens, completion_tokens FROM spending WHERE {_SCOPE}"
        flying = (
            f"SELECT mode, 0, sum(prompt_tokens), sum(completion_tokens) FROM reserved WHERE {_SCOPE} GROUP BY mode"
        )
        return self._db.execute(f"{settled} UNION ALL {flying}", self._scope * 2).fetchall()
