"""A policy's answers to held-out questions, rated."""

import pyarrow as pa

from .. import tables
from ..experiment import Evaluation
from ..models.generate import generate
from ..models.stack import Policy
from ..progress import Progress, silent
from ._rating import Judge, JudgedRow


def judged_answers(
    policy: Policy, questions: pa.Table, settings: Evaluation, judge: Judge, seed: int, progress: Progress = silent
) -> pa.Table:
    """Generate one answer per question (rows of tables.RL) and rate it; returns tables.ANSWERS."""
    rows = questions.to_pylist()
    written = generate(
        policy,
        [row["instruction"] for row in rows],
        max_new_tokens=settings.max_new_tokens,
        temperature=settings.temperature,
        batch_size=settings.batch_size,
        seed=seed,
        progress=progress,
    )
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
