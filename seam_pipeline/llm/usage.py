"""What requests cost: of one client, and of a store over all its runs."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ASK_AGAIN = "llm_rows_to_ask_again"
"""Note of a record: so many rows have no reply for a reason that can pass."""


class Spending(NamedTuple):
    """Totals of a purpose at an address on a model; `dollars` is None where prices are not given."""

    purpose: str
    base_url: str
    model: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    dollars: float | None = None

    def __str__(self) -> str:
        price = "" if self.dollars is None else f", {self.dollars:,.4f} dollars"
        return f"{self.prompt_tokens:,} prompt and {self.completion_tokens:,} reply tokens{price}"


@dataclass(frozen=True)
class Usage:
    """What a client did. Tokens and dollars are those of its own requests; `total` is that of all runs."""

    rows: int = 0
    """Replies asked for, equal requests counted once."""
    cached: int = 0
    """Of these, known already."""
    requests: int = 0
    """Sent now, and perhaps charged."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float | None = None
    failures: dict[str, int] = field(default_factory=dict)
    """Rows without a text by reason, known refusals included."""
    again: int = 0
    """Of these, rows whose reason can pass: asked again when the same is asked again."""
    total: Spending | None = None

    def notes(self) -> dict[str, int | float | str]:
        """Flat values for an artifact's record."""
        notes: dict[str, int | float | str] = {
            "llm_rows": self.rows,
            "llm_cached": self.cached,
            "llm_requests": self.requests,
            "llm_prompt_tokens": self.prompt_tokens,
            "llm_completion_tokens": self.completion_tokens,
            "llm_failures": json.dumps(self.failures, ensure_ascii=False) if self.failures else "none",
        }
        if self.again:
            notes[ASK_AGAIN] = self.again
        if self.dollars is not None:
            notes["llm_dollars"] = round(self.dollars, 6)
        if self.total is not None:
            notes["llm_total"] = str(self.total)
        return notes

    def __str__(self) -> str:
        price = "" if self.dollars is None else f", {self.dollars:,.4f} dollars"
        failed = "; ".join(f"{count} x {reason}" for reason, count in self.failures.items())
        return (
            f"{self.rows:,} rows: {self.cached:,} known, {self.requests:,} requests, {self.prompt_tokens:,} prompt and "
            f"{self.completion_tokens:,} reply tokens{price}; {failed or 'no failures'}"
        )


def by_reason(reasons: Iterable[str]) -> dict[str, int]:
    """Counts of reasons, most frequent first; what follows a colon tells rows apart and is left out."""
    return dict(Counter(reason.split(":")[0] for reason in reasons).most_common())


def read_spending(path: Path) -> list[Spending]:
    """Every purpose's totals in a reply cache, requests in flight included; empty when the file is not there."""
    if not path.is_file():
        return []
    query = (
        "SELECT purpose, base_url, model, sum(requests), sum(prompt_tokens), sum(completion_tokens) FROM "
        "(SELECT purpose, base_url, model, requests, prompt_tokens, completion_tokens FROM spending UNION ALL "
        "SELECT purpose, base_url, model, 0, prompt_tokens, completion_tokens FROM reserved) "
        "GROUP BY purpose, base_url, model ORDER BY purpose, base_url, model"
    )
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return [Spending(*row) for row in db.execute(query)]
