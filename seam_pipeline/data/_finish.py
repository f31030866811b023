"""Texts of the questions that the join hands over, and the limits on them."""

from collections import Counter
from dataclasses import dataclass

from ._join import RawQuestion
from ._markdown import to_markdown

Row = tuple[str, str, str, str, int, bool, int]
"""A row of QUESTION_ANSWERS."""


@dataclass(frozen=True)
class Limits:
    """Longest texts, in characters of the finished Markdown."""

    instruction: int
    response: int


def finish(raw: RawQuestion, limits: Limits, skipped: Counter[str]) -> list[Row]:
    """QUESTION_ANSWERS rows of one question, best answer first; empty if it is skipped, which is counted.

    A question of a dump needs two answers of different score that are left; one of rows needs an answer.
    """
    body = to_markdown(raw.body) if raw.html else raw.body
    instruction = "\n\n".join(part for part in (raw.title.strip(), body) if part)
    problem = _problem(instruction, limits.instruction)
    rows: list[Row] = []
    if problem is None:
        for answer in raw.answers:
            response = to_markdown(answer.body) if raw.html else answer.body
            fault = _problem(response, limits.response)
            if fault is None:
                rows.append((raw.id, instruction, answer.id, response, answer.votes, answer.accepted, answer.score))
            else:
                skipped[f"answer: {fault}"] += 1
        usable = len({row[6] for row in rows}) >= 2 if raw.html else bool(rows)
        if usable:
            return sorted(rows, key=lambda row: (-row[6], -row[4], len(row[2]), row[2]))
        problem = "too few answers are left" if raw.html else "no answer is left"
    skipped[f"question: {problem}"] += 1
    left = len(rows) if instruction and problem.endswith("left") else len(raw.answers)
    if left:
        skipped["answer: its question is skipped"] += left
    return []


def _problem(text: str, most: int) -> str | None:
    if not text:
        return "empty"
    return f"longer than {most} characters" if len(text) > most else None
