"""sentence-transformers' `mine_hard_negatives` on given vectors, for `retrieval.py`."""

import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Found = list[NDArray[np.int64]]


class Given:
    """As much of a sentence-transformers model as the miner asks for: rows of arrays, and zeros for `golden`."""

    device = "cpu"

    def __init__(self, queries: Floats, pool: Floats) -> None:
        self.queries, self.pool = queries, pool

    def get_embedding_dimension(self) -> int:
        return self.pool.shape[1]

    def encode_query(self, texts: list[str], **_: Any) -> Floats:
        return self.queries[: len(texts)]

    def encode_document(self, texts: list[str], **_: Any) -> Floats:
        assert texts[-1] == "golden"
        return np.concatenate([self.pool, np.zeros((1, self.pool.shape[1]), np.float32)])

    def similarity(self, a: Any, b: Any) -> torch.Tensor:
        return torch.as_tensor(a) @ torch.as_tensor(b).T

    def similarity_pairwise(self, a: Any, b: Any) -> torch.Tensor:
        return (torch.as_tensor(a) * torch.as_tensor(b)).sum(1)


def mined(queries: Floats, pool: Floats, low: float, high: float, k: int, width: int) -> tuple[Found, float]:
    """What the miner returns, and the seconds it took after it had the embeddings."""
    from datasets import Dataset
    from sentence_transformers.util import mine_hard_negatives

    given, started = Given(queries, pool), 0.0
    encode = given.encode_query

    def then_start(texts: list[str], **settings: Any) -> Floats:
        nonlocal started
        started = time.perf_counter()
        return encode(texts, **settings)

    given.encode_query = then_start  # type: ignore[method-assign]
    table = Dataset.from_dict({"q": [f"q{i}" for i in range(len(queries))], "a": ["golden"] * len(queries)})
    rows = mine_hard_negatives(
        table, given, corpus=[f"p{i}" for i in range(len(pool))], num_negatives=k, range_max=width, min_score=low,
        max_score=high, use_faiss=True, verbose=False, output_format="triplet",
    )  # type: ignore[arg-type]  # fmt: skip
    seconds = time.perf_counter() - started
    found: list[list[int]] = [[] for _ in queries]
    for query, row in zip(rows["q"], rows["negative"], strict=True):
        found[int(query[1:])].append(int(row[1:]))
    return [np.array(rows, dtype=np.int64) for rows in found], seconds
