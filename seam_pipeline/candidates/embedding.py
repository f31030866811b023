"""Sentence embeddings, and the exact search of neighbours within a band of cosine similarity."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import SeamError
from ..progress import Progress, silent
from ._band import Vectors, band_search
from ._best import Labels, Neighbours
from ._encoder import Pooling, fingerprint_of, load_encoder, minilm_path, widths_of
from ._vectors import EmbeddingCache, Keys, MappedVectors, text_keys

__all__ = ["Embedded", "Labels", "Neighbours", "band_search", "embed", "embed_texts", "load_encoder", "minilm_path"]

Texts = Sequence[str] | Any
"""A list of texts, or an Arrow column (pyarrow.ChunkedArray)."""
_AT_ONCE = 65_536


class Embedded(NamedTuple):
    """Vectors of some texts, in their order, and what they cost."""

    vectors: Vectors
    """[N, D] of unit length: an array, or rows mapped from the cache"""
    encoded: int
    """Different texts that went through the model now"""
    known: int
    """Different texts whose vectors were kept from before"""


def embed(
    texts: Sequence[str], name: str = "minilm", *, device: str = "cpu", batch_size: int = 64,
    progress: Progress = silent,
) -> NDArray[np.float32]:  # fmt: skip
    """Unit-length embeddings [len(texts), D], in memory; equal texts are encoded once."""
    found = embed_texts(texts, name, device=device, batch_size=batch_size, progress=progress).vectors
    return found[np.arange(len(texts))]


def embed_texts(
    texts: Texts,
    name: str = "minilm",
    *,
    pooling: Pooling = "auto",
    device: str = "cpu",
    processes: int = 1,
    cache: Path | None = None,
    batch_size: int = 64,
    progress: Progress = silent,
) -> Embedded:
    """Unit-length embeddings of a list or an Arrow column; equal texts are encoded once.

    With `cache`, a folder, vectors are kept there by model content, pooling and text as they are made, and read from
    there: a second call encodes only what is new, a killed one goes on where it stood. `processes` > 1 encodes in so
    many processes, on so many GPUs where `device` is cuda.
    """
    keys, lengths = _keys(texts)
    unique, first, inverse = np.unique(keys, return_index=True, return_inverse=True)

    def encode(missing: NDArray[np.intp], keep: Callable[[NDArray[np.intp], NDArray[np.float32]], None]) -> None:
        order = missing[np.argsort(lengths[first[missing]], kind="stable")]
        step = batch_size * 4 * processes
        with _encoding(name, pooling, device, processes, batch_size) as vectors_of:
            for start in range(0, len(order), step):
                some = order[start : start + step]
                keep(some, _finite(vectors_of(_pick(texts, first[some])), name))
                progress(min(start + step, len(order)), len(order))

    if cache is None:
        return _in_memory(encode, len(unique), inverse)
    folder = cache / f"{Path(name).name}-{fingerprint_of(name, pooling)}"
    with EmbeddingCache(folder) as kept:
        missing = np.flatnonzero(kept.rows(unique) < 0)
        if len(missing):
            encode(missing, lambda some, vectors: kept.add(unique[some], vectors))
        rows, width = kept.rows(unique), kept.width or 1
    return Embedded(MappedVectors(kept.path, rows[inverse], width), len(missing), len(unique) - len(missing))


def _in_memory(encode: Callable[..., None], size: int, inverse: NDArray[np.intp]) -> Embedded:
    vectors = np.zeros((0, 0), dtype=np.float32)

    def keep(some: NDArray[np.intp], found: NDArray[np.float32]) -> None:
        nonlocal vectors
        if not vectors.size:
            vectors = np.zeros((size, found.shape[1]), dtype=np.float32)
        vectors[some] = found

    if size:
        encode(np.arange(size), keep)
    return Embedded(vectors[inverse], size, 0)


def _slices(texts: Texts) -> Iterator[list[str]]:
    for start in range(0, len(texts), _AT_ONCE):
        if isinstance(texts, pa.ChunkedArray):
            yield texts.slice(start, _AT_ONCE).to_pylist()
        else:
            yield list(texts[start : start + _AT_ONCE])


def _keys(texts: Texts) -> tuple[Keys, NDArray[np.int64]]:
    keys, lengths = [np.zeros(0, dtype="S16")], [np.zeros(0, dtype=np.int64)]
    for some in _slices(texts):
        keys.append(text_keys(some))
        lengths.append(np.array([len(text) for text in some], dtype=np.int64))
    return np.concatenate(keys), np.concatenate(lengths)


def _pick(texts: Texts, rows: NDArray[np.intp]) -> list[str]:
    if isinstance(texts, pa.ChunkedArray):
        return texts.take(pa.array(rows)).to_pylist()
    return [texts[row] for row in rows]


def _finite(vectors: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    if not np.isfinite(vectors).all():
        raise SeamError(f"Embedding model {name!r} gives vectors with numbers that are not finite; use another one.")
    return vectors


@contextlib.contextmanager
def _encoding(
    name: str, pooling: Pooling, device: str, processes: int, batch_size: int
) -> Iterator[Callable[[list[str]], NDArray[np.float32]]]:
    """A function from texts to unit-length vectors [n, D], with its helper processes if any.

    Only texts of one width share a batch: on CPUs a text's vector is then the same bits whatever else is encoded.
    """
    encoder = load_encoder(name, device, pooling)
    settings: dict[str, Any] = {"batch_size": batch_size, "normalize_embeddings": True, "show_progress_bar": False}
    helpers = _start(encoder, device, processes) if processes > 1 else None

    def vectors_of(texts: list[str]) -> NDArray[np.float32]:
        widths = widths_of(encoder, texts)
        groups = [np.flatnonzero(widths == width) for width in np.unique(widths)]
        parts = [encoder.encode([texts[i] for i in group], pool=helpers, **settings) for group in groups]
        found: NDArray[np.float32] = np.empty((len(texts), parts[0].shape[1]), dtype=np.float32)
        found[np.concatenate(groups)] = np.concatenate(parts)
        return found

    try:
        yield vectors_of
    finally:
        if helpers is not None:
            encoder.stop_multi_process_pool(helpers)


def _start(encoder: Any, device: str, processes: int) -> dict[str, Any]:
    """Helper processes, each with its share of the cores or a GPU in turn."""
    import torch

    gpus = torch.cuda.device_count() if device.startswith("cuda") else 0
    devices = [f"cuda:{i % gpus}" if gpus else "cpu" for i in range(processes)]
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(max(1, torch.get_num_threads() // processes))
    try:
        return encoder.start_multi_process_pool(devices)
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
