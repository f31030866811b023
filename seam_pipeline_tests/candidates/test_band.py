import numpy as np
import pytest
import torch

from seam_pipeline.candidates import _band, _best, _bounds
from seam_pipeline.candidates._band import band_search
from seam_pipeline.candidates._best import Labels
from seam_pipeline.candidates._index import ApproximateIndex, measured_recall, recall_of


def unit(rng: np.random.Generator, rows: int, width: int = 8) -> np.ndarray:
    x = rng.normal(size=(rows, width)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def clustered(rng: np.random.Generator, rows: int, width: int = 48, clusters: int = 12) -> np.ndarray:
    """Unit vectors around a few centres, with most of their length in few directions."""
    scale = 1 / np.sqrt(np.arange(1, width + 1))
    centres = unit(np.random.default_rng(7), clusters, width) * scale
    x = centres[rng.integers(0, clusters, rows)] + unit(rng, rows, width) * scale * rng.uniform(0.05, 0.8, (rows, 1))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def brute(query: np.ndarray, pool: np.ndarray, low: float, high: float, k: int, banned: set[int]) -> list[int]:
    sims = np.einsum("ij,ij->i", pool, np.broadcast_to(query, pool.shape))
    inside = (sims >= np.float32(low)) & (sims <= np.float32(high))
    hits = [i for i in np.flatnonzero(inside).tolist() if i not in banned]
    return sorted(hits, key=lambda i: (-sims[i], i))[:k]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many blocks and tiles, early merging and crowds, on small data."""
    monkeypatch.setattr(_band, "_BLOCK", 300)
    monkeypatch.setattr(_band, "_CPU_TILE", (64, 5))
    monkeypatch.setattr(_band, "_CROWD", 2)
    monkeypatch.setattr(_best, "_CHUNK", 7)
    monkeypatch.setattr(_best, "_MANY", 40)


@pytest.mark.parametrize("pool_size", [0, 1, 20, 700, 5000])
@pytest.mark.parametrize(("low", "high"), [(0.8, 0.9), (0.0, 0.3), (-1.0, 1.0), (0.97, 0.99)])
def test_equals_brute_force(pool_size: int, low: float, high: float) -> None:
    rng = np.random.default_rng(1)
    queries, pool = unit(rng, 9), unit(rng, pool_size)
    found = band_search(queries, pool, low, high, 30)
    assert len(found) == len(queries)
    for query, hits in zip(queries, found, strict=True):
        assert hits.indices.tolist() == brute(query, pool, low, high, 30, set())
        np.testing.assert_allclose(hits.similarities, pool[hits.indices] @ query, atol=1e-6)


@pytest.mark.parametrize(("low", "high"), [(0.8, 0.9), (0.2, 0.6), (-1.0, 1.0)])
@pytest.mark.parametrize("check", [0.0, 20.0, 1e9])
@pytest.mark.usefixtures("small_blocks")
def test_bounds_blocks_and_labels_change_nothing(
    low: float, high: float, check: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` 0 always rules out by bounds, 1e9 nearly never."""
    monkeypatch.setattr(_bounds, "_CHECK", check)
    rng = np.random.default_rng(3)
    queries, pool = clustered(rng, 40), clustered(rng, 2000)
    labels = Labels(rng.integers(0, 30, (40, 2)), rng.integers(0, 30, (2000, 2)))
    found = band_search(queries, pool, low, high, 6, labels)
    for q, hits in enumerate(found):
        banned = set(np.flatnonzero((labels.pool == labels.queries[q]).any(axis=1)).tolist())
        assert hits.indices.tolist() == brute(queries[q], pool, low, high, 6, banned)


def test_bounds_are_never_too_low_and_rule_much_out() -> None:
    rng = np.random.default_rng(4)
    queries, pool = clustered(rng, 50), clustered(rng, 3000)
    bounds = _bounds.Bounds(queries, pool)
    squares = np.einsum("ij,ij->i", pool, pool)
    for m in (1, 8, 24, 47):
        upper = bounds.of_pool(pool, squares, m) @ bounds.of_queries(m).T
        assert (upper >= pool @ queries.T).all()
    assert (bounds.of_pool(pool, squares, 24) @ bounds.of_queries(24).T >= 0.9).mean() < 0.2


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


@pytest.mark.usefixtures("small_blocks")
def test_ties_come_in_the_order_of_the_pool() -> None:
    pool = np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (2000, 1))
    (hits,) = band_search(np.array([[1, 0]], dtype=np.float32), pool, 0.5, 0.7, 5)
    assert hits.indices.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.usefixtures("small_blocks")
def test_a_crowd_just_above_the_band_hides_nothing() -> None:
    """A hundred rows above the edge by less than what rounding is allowed, then five inside."""
    cosines = np.array([*[0.900004] * 100, 0.85, 0.84, 0.83, 0.82, 0.81], dtype=np.float32)
    pool = np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1)
    (hits,) = band_search(np.array([[1, 0]], dtype=np.float32), pool[np.r_[100:103, 0:100, 103:105]], 0.8, 0.9, 5)
    assert hits.indices.tolist() == [0, 1, 2, 103, 104]


def test_band_edges_belong_to_the_band() -> None:
    pool = np.array([[0.5, 0], [0.75, 0], [0.25, 0]], dtype=np.float32)
    (hits,) = band_search(np.array([[1, 0]], dtype=np.float32), pool, 0.5, 0.75, 5)
    assert hits.indices.tolist() == [1, 0]


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    queries, pool = clustered(rng, 50), clustered(rng, 1200)
    labels = Labels(rng.integers(0, 30, (50, 1)), rng.integers(0, 30, (1200, 1)))
    before = torch.get_num_threads()
    try:
        found = []
        for threads, per_thread in ((1, 1), (3, 1)):
            torch.set_num_threads(threads)
            monkeypatch.setattr(_band, "_PER_THREAD", per_thread)
            found.append(band_search(queries, pool, 0.5, 0.9, 8, labels))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    for one, three in zip(*found, strict=True):
        np.testing.assert_array_equal(one.indices, three.indices)
        np.testing.assert_array_equal(one.similarities, three.similarities)


def test_a_mapped_pool_is_read_block_by_block(tmp_path, small_blocks: None) -> None:
    rng = np.random.default_rng(5)
    pool = clustered(rng, 1500)
    pool.tofile(tmp_path / "pool")
    mapped = np.memmap(tmp_path / "pool", dtype=np.float32, mode="r", shape=pool.shape)
    here, there = (band_search(pool[:20], p, 0.5, 0.9, 8) for p in (pool, mapped))
    assert [h.indices.tolist() for h in here] == [h.indices.tolist() for h in there]


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_the_recall_of_an_index_is_measured(kind: str) -> None:
    rng = np.random.default_rng(6)
    queries, pool = clustered(rng, 60), clustered(rng, 2000)
    labels = Labels(rng.integers(0, 9, (60, 1)), rng.integers(0, 9, (2000, 1)))
    exact = band_search(queries, pool, 0.6, 0.9, 10, labels)
    recalls = []
    for probes in (1, 2000):
        index = ApproximateIndex(pool, kind, probes)  # type: ignore[arg-type]
        found = index.search(queries, 0.6, 0.9, 10, labels)
        recall = measured_recall(index, queries, 0.6, 0.9, 10, labels, sample=60)
        there = [len(set(f.indices.tolist()) & set(e.indices.tolist())) for f, e in zip(found, exact, strict=True)]
        assert recall.value == pytest.approx(sum(there) / sum(len(e.indices) for e in exact))
        assert recall.queries == 60
        for q, hits in enumerate(found):
            assert (labels.pool[hits.indices] != labels.queries[q]).all()
            assert ((hits.similarities >= 0.6) & (hits.similarities <= np.float32(0.9))).all()
        recalls.append(recall.value)
    assert recalls[0] <= recalls[1]
    assert recalls[1] > 0.99


def test_recall_of_nothing_is_unknown() -> None:
    nothing = band_search(np.eye(2, dtype=np.float32), -np.ones((3, 2), dtype=np.float32), 0.5, 0.9, 2)
    assert recall_of(nothing, nothing) == (None, 2, 0)
