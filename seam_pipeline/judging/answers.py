"""A policy's answers to held-out questions, rated."""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from .. import tables
from ..experiment import Evaluation
from ..models.generate import generate
from ..models.stack import Policy
from ..progress import Progress, silent
from ._rating import Judge, JudgedRow


class Written(NamedTuple):
    """A policy's answer, and how many tokens it sampled for it."""

    text: str
    n_tokens: int


def written_answers(
    policy: Policy, questions: pa.Table, settings: Evaluation, seed: int, progress: Progress = silent
) -> list[Written]:
    """One answer per question."""
    found = generate(
        policy,
        questions["instruction"].to_pylist(),
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        batch_size=settings.batch_size,
        seed=seed,
        progress=progress,
    )
    return [Written(answer.text, answer.n_tokens) for answer in found]


def judged_answers(questions: pa.Table, written: Sequence[Written], judge: Judge, seed: int) -> pa.Table:
    """Rate one answer per question (rows of tables.RL); returns tables.ANSWERS."""
    rows = questions.to_pylist()
    ratings = judge.rate(
        [
            JudgedRow(row["id"], row["instruction"], row["golden_response"], answer.text)
            for row, answer in zip(rows, written, strict=True)
        ]
    )
    columns = {
        "id": [row["id"] for row in rows],
        "seed": [seed] * len(rows),
        "instruction": [row["instruction"] for row in rows],
        "golden_response": [row["golden_response"] for row in rows],
        "response": [answer.text for answer in written],
        "n_tokens": [answer.n_tokens for answer in written],
        "rating": [rating.rating for rating in ratings],
        "judge": [judge.name] * len(rows),
        "explanation": [rating.explanation for rating in ratings],
        "reason": [rating.reason for rating in ratings],
    }
    return pa.table(columns, schema=tables.ANSWERS)
