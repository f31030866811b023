"""Small tables of questions and pairs with something to learn in them."""

import random

import pyarrow as pa

from seam_pipeline import tables


def sft_rows(n: int, seed: int = 0) -> pa.Table:
    """Questions about a letter, answered with that letter repeated."""
    rng = random.Random(seed)
    rows = []
    for number in range(n):
        letter = rng.choice("abcdef")
        answer = letter * 4 + " ok" * rng.randint(0, 3)
        question = f"say {letter}" + " now" * rng.randint(0, 3)
        rows.append({"id": str(number), "split": "train", "instruction": question, "golden_response": answer})
    return pa.Table.from_pylist(rows, schema=tables.SFT)


def preference_rows(n: int, seed: int = 0) -> pa.Table:
    """The letter asked for is preferred to a digit."""
    rng = random.Random(seed)
    rows = [
        {
            "id": f"{number}:0",
            "question_id": str(number),
            "split": "train",
            "instruction": row["instruction"],
            "chosen": row["golden_response"],
            "rejected": str(rng.randint(0, 9)) * rng.randint(3, 9),
            "chosen_score": 3,
            "rejected_score": 1,
        }
        for number, row in enumerate(sft_rows(n, seed).to_pylist())
    ]
    return pa.Table.from_pylist(rows, schema=tables.PREFERENCE)
