"""Preference pairs made of a policy's own answers, for a reward model that keeps up with it."""

from typing import NamedTuple

import pyarrow as pa

from ..tables import PREFERENCE


class _Answer(NamedTuple):
    instruction: str
    response: str
    rating: float


def own_pairs(answers: pa.Table, label: str) -> pa.Table:
    """One pair per instruction whose answers differ in rating: the first best against the first worst (PREFERENCE).

    `answers` has `id`, `instruction`, `response`, `rating`; unrated answers are left out. Pair ids are `id:label`,
    scores the rounded ratings, the split is train.
    """
    gathered: dict[str, list[_Answer]] = {}
    for row in answers.select(["id", "instruction", "response", "rating"]).to_pylist():
        identity = row.pop("id")
        if row["rating"] is not None:
            gathered.setdefault(identity, []).append(_Answer(**row))
    rows = [row for identity, written in gathered.items() if (row := _pair(identity, label, written))]
    return pa.Table.from_pylist(rows, schema=PREFERENCE)


def _pair(identity: str, label: str, written: list[_Answer]) -> dict[str, str | int] | None:
    best, worst = max(written, key=lambda a: a.rating), min(written, key=lambda a: a.rating)
    if best.rating == worst.rating:
        return None
    return {
        "id": f"{identity}:{label}",
        "question_id": identity,
        "split": "train",
        "instruction": best.instruction,
        "chosen": best.response,
        "rejected": worst.response,
        "chosen_score": round(best.rating),
        "rejected_score": round(worst.rating),
    }
