"""Hand-made dumps and the real ones, for the tests beside this file."""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

import pytest

from seam_pipeline.data import Sources, read_sources
from seam_pipeline.experiment import FileData

REAL = Path(os.environ.get("SEAM_REAL_DATA", Path(__file__).parents[3] / "shared/data/stackexchange"))
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"real posts are not at {REAL}; set SEAM_REAL_DATA")


def question(number: int, body: str = "<p>Why?</p>", title: str = "Title", accepted: int | None = None) -> str:
    more = "" if accepted is None else f' AcceptedAnswerId="{accepted}"'
    return f'<row Id="{number}" PostTypeId="1"{more} Score="3" Title="{escape(title)}" Body="{escape(body)}" />'


def answer(number: int, parent: int, votes: int | str, body: str | None = None) -> str:
    text = escape(f"<p>Answer {number}</p>" if body is None else body)
    return f'<row Id="{number}" PostTypeId="2" ParentId="{parent}" Score="{votes}" Body="{text}" />'


def posts_xml(rows: Sequence[str]) -> bytes:
    inner = "".join(f"  {row}\r\n" for row in rows)
    return f'\ufeff<?xml version="1.0" encoding="utf-8"?>\r\n<posts>\r\n{inner}</posts>'.encode()


def simple_rows(questions: int, first: int = 1) -> list[str]:
    """Questions with two answers of 0 and 5 votes each."""
    rows: list[str] = []
    for n in range(first, first + questions):
        rows += [question(10 * n), answer(10 * n + 1, 10 * n, 0), answer(10 * n + 2, 10 * n, 5)]
    return rows


def write_dump(folder: Path, rows: Sequence[str], site: str = "site") -> Path:
    path = folder / site / "Posts.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(posts_xml(rows))
    return path


def read(*paths: Path, **settings: object) -> Sources:
    return read_sources(FileData.model_validate({"source": "files", "paths": tuple(map(str, paths)), **settings}))


def accounted(summary: dict) -> tuple[int, int]:
    """Questions and answers kept or skipped after they were read; must equal what was read."""
    skipped = summary["skipped"]
    lost = {
        unit: sum(n for reason, n in skipped.items() if reason.startswith(unit)) for unit in ("question:", "answer:")
    }
    return summary["questions"] + lost["question:"], summary["answers"] + lost["answer:"]
