import hashlib
from pathlib import Path

import numpy as np
import pytest

from seam_pipeline.candidates import embedding
from seam_pipeline.candidates.embedding import band_search, embed, minilm_path
from seam_pipeline.errors import SeamError


def unit(rng: np.random.Generator, rows: int, width: int = 8) -> np.ndarray:
    x = rng.normal(size=(rows, width)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def brute(query: np.ndarray, pool: np.ndarray, low: float, high: float, k: int, banned: set[int]) -> list[int]:
    sims = pool @ query
    hits = [i for i in range(len(pool)) if low <= sims[i] <= high and i not in banned]
    return sorted(hits, key=lambda i: (-sims[i], i))[:k]


@pytest.mark.parametrize("pool_size", [0, 1, 20, 700, 5000])
@pytest.mark.parametrize(("low", "high"), [(0.8, 0.9), (0.0, 0.3), (-1.0, 1.0), (0.97, 0.99)])
def test_band_search_equals_brute_force(pool_size: int, low: float, high: float) -> None:
    rng = np.random.default_rng(1)
    queries, pool = unit(rng, 9), unit(rng, pool_size).reshape(pool_size, 8)
    banned = [set(rng.integers(0, max(1, pool_size), 5).tolist()) for _ in queries]
    found = band_search(queries, pool, low, high, 30, banned)
    assert len(found) == len(queries)
    for query, hits, out in zip(queries, found, banned, strict=True):
        assert hits.indices.tolist() == brute(query, pool, low, high, 30, out)
        np.testing.assert_allclose(hits.similarities, pool[hits.indices] @ query, atol=1e-6)


@pytest.mark.parametrize("above", [100, 1000, 4000])
def test_k_are_found_below_many_neighbours_above_the_band(above: int) -> None:
    """Thousands of rows above the band, 40 inside, the rest below; 30 are wanted."""
    rng = np.random.default_rng(2)
    query = np.zeros((1, 8), dtype=np.float32)
    query[0, 0] = 1

    def at(cosines: np.ndarray) -> np.ndarray:
        other = unit(rng, len(cosines), 7) * np.sqrt(1 - cosines**2)[:, None]
        return np.hstack([cosines[:, None], other]).astype(np.float32)

    inside = np.linspace(0.81, 0.89, 40)
    pool = np.vstack([at(rng.uniform(0.91, 0.999, above)), at(inside), at(rng.uniform(-1, 0.79, 2000))])
    (hits,) = band_search(query, pool, 0.8, 0.9, 30)
    assert hits.indices.tolist() == [above + i for i in range(39, 9, -1)]


def test_ties_come_in_the_order_of_the_pool() -> None:
    pool = np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (200, 1))
    (hits,) = band_search(np.array([[1, 0]], dtype=np.float32), pool, 0.5, 0.7, 5)
    assert hits.indices.tolist() == [0, 1, 2, 3, 4]


def test_band_edges_belong_to_the_band() -> None:
    pool = np.array([[0.5, 0], [0.75, 0], [0.25, 0]], dtype=np.float32)
    (hits,) = band_search(np.array([[1, 0]], dtype=np.float32), pool, 0.5, 0.75, 5)
    assert hits.indices.tolist() == [1, 0]


def test_embed_is_independent_of_company_and_order() -> None:
    texts = ["How do I open a bottle?", "x", "A much longer question about yeast, hops, malt and water. " * 3]
    together = embed(texts)
    assert together.shape == (3, 384)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embed(texts[::-1] * 2, batch_size=1)[:3][::-1], together, atol=1e-5)


def test_another_model_under_the_embedded_ones_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    real = minilm_path() / "model.safetensors"
    assert hashlib.sha256(real.read_bytes()).hexdigest().startswith("53aa5117")
    monkeypatch.setattr(embedding, "MINILM_SHA256", "00000000")
    with pytest.raises(SeamError, match="53aa5117"):
        minilm_path()


def test_a_missing_encoder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SeamError, match="could not be loaded"):
        embed(["a"], str(tmp_path / "nowhere"))
