"""Small tables for the tests."""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from seam_pipeline import tables as schemas


def answers(ratings: Mapping[int, Sequence[float | None]], judge: str = "gold") -> pa.Table:
    """ANSWERS from ratings by seed; ids q0, q1, ..."""
    rows = [
        {
            "id": f"q{i}", "seed": seed, "instruction": "?", "golden_response": "!", "response": "r", "n_tokens": 3,
            "rating": rating, "judge": judge, "explanation": None, "reason": None if rating is not None else "no reply",
        }
        for seed, column in ratings.items() for i, rating in enumerate(column)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schemas.ANSWERS)


def reward_quality(verdicts: Sequence[bool | None], per_question: int = 1) -> pa.Table:
    """REWARD_QUALITY with the given verdicts."""
    rows = [
        {
            "id": f"q{i // per_question}:{i % per_question}", "chosen_reward": 1.0, "rejected_reward": 0.0,
            "correct": verdict, "reason": None if verdict is not None else f"answer {i} is too long",
        }
        for i, verdict in enumerate(verdicts)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schemas.REWARD_QUALITY)


def likelihoods(per_id: Mapping[str, Sequence[tuple[float | None, int | None]]]) -> pa.Table:
    """LIKELIHOODS from (loglik, n_tokens) per id."""
    rows = [
        {
            "id": i, "candidate_index": n, "loglik": loglik, "n_tokens": tokens, "prompt_cut": 0, "truncated": False,
            "reason": None if loglik is not None else "empty candidate",
        }
        for i, candidates in per_id.items() for n, (loglik, tokens) in enumerate(candidates)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schemas.LIKELIHOODS)


def seam(scores: Sequence[float | None], probs: Sequence[float | None] | None = None) -> pa.Table:
    """SEAM_SCORES with seam_log = scores; the other forms follow `probs` or halve it."""
    rows = []
    for i, score in enumerate(scores):
        prob = probs[i] if probs is not None else None if score is None else score / 2
        rows.append(
            {
                "id": f"q{i}", "seam_log": score, "seam_prob": prob, "seam_mean_log": score, "seam_mean_prob": prob,
                "n_candidates": 0 if score is None else 4, "reason": "no candidates" if score is None else None,
            }
        )  # fmt: skip
    return pa.Table.from_pylist(rows, schema=schemas.SEAM_SCORES)


def with_lengths(table: pa.Table, lengths: Sequence[int]) -> pa.Table:
    """ANSWERS whose answers have these numbers of tokens."""
    at = table.column_names.index("n_tokens")
    return table.set_column(at, table.schema.field(at), pa.array(lengths, pa.int32()))
