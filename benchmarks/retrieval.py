"""Retrieval speed: the exact band search against one query at a time and against sentence-transformers' miner.

    python benchmarks/retrieval.py --out benchmarks/results/retrieval.md

A pool of 1 M unit vectors of 384 numbers, mapped from a file. With `../shared/data/stackexchange` (or SEAM_REAL_DATA)
vectors are real titles' MiniLM embeddings, each moved along the difference of two others by a random amount: the
spectrum is the real one, bands are populated, and titles that many others resemble have thousands of neighbours
above the band. Without posts the embeddings are drawn around random centres with a falling spectrum.

Peers: (a) the authors' procedure: per query all similarities, the top 40, those in the band; with NumPy and with
faiss.IndexFlatIP, both on a pool in memory; (b) `mine_hard_negatives(use_faiss=True)` with the band as min_score and
max_score. Their times come from `--peer-queries` queries and are scaled to all (encoding, building an index and reading
the pool into memory are not counted for anyone). Recall is the share of the neighbours wanted (the k nearest in the
band, by brute force in float64, less what lies within 1e-6 of an edge) that a method returns.
"""

import argparse
import contextlib
import datetime
import os
import platform
import re
import resource
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from _miner import mined
from numpy.typing import NDArray

from seam_pipeline.candidates._index import ApproximateIndex
from seam_pipeline.candidates.embedding import band_search, embed_texts

Floats = NDArray[np.float32]
Found = list[NDArray[np.int64]]
TOP = 40


class Run(NamedTuple):
    name: str
    seconds: float
    """Wall clock, scaled to all queries"""
    queries: int
    """Queries that were really run"""
    recall: float
    memory: float
    """MiB that the process held in its own pages beyond what it held before"""


def real_questions() -> list[str]:
    """Titles of the questions."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "stackexchange"
    texts = []
    for path in sorted(Path(os.environ.get("SEAM_REAL_DATA", beside)).glob("*/Posts.xml")):
        for _, row in ElementTree.iterparse(path):
            if row.get("PostTypeId") == "1" and row.get("Title"):
                texts.append(row.get("Title", ""))
            row.clear()
    return texts


def centres(cache: Path, dim: int) -> tuple[Floats, str]:
    texts = real_questions() if dim == 384 else []
    if texts:
        vectors = embed_texts(texts, cache=cache).vectors
        return vectors[np.arange(len(vectors))], f"around the embeddings of {len(texts):,} real titles"
    x = np.random.default_rng(1).standard_normal((4000, dim), dtype=np.float32) / np.sqrt(np.arange(1, dim + 1))
    return unit(x.astype(np.float32)), "around 4,000 drawn centres"


def unit(x: Floats) -> Floats:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def around(real: Floats, rows: int, rng: np.random.Generator) -> Floats:
    """Centres by a heavy-tailed draw, each moved by 0 to 1 (mostly little) of the difference of two others."""
    weights = 1 / (np.arange(len(real)) + 3.0)
    at = rng.choice(len(real), rows, p=weights / weights.sum())
    a, b = rng.integers(0, len(real), (2, rows))
    return unit(real[at] + rng.uniform(0, 1, (rows, 1)).astype(np.float32) ** 2 * (real[a] - real[b]))


def mapped_pool(path: Path, real: Floats, rows: int) -> Floats:
    rng = np.random.default_rng(0)
    pool = np.memmap(path, dtype=np.float32, mode="w+", shape=(rows, real.shape[1]))
    for start in range(0, rows, 50_000):
        pool[start : start + 50_000] = around(real, min(50_000, rows - start), rng)
    pool.flush()
    return np.memmap(path, dtype=np.float32, mode="r", shape=pool.shape)


def own_pages() -> float:
    """MiB of anonymous memory; mapped files can be dropped at any time and do not count. Linux only."""
    with contextlib.suppress(OSError):
        found = re.search(r"RssAnon:\s+(\d+)", Path("/proc/self/status").read_text())
        return int(found[1]) / 1024 if found else 0.0
    return 0.0


def measured(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, seconds, and the peak of the process's own memory beyond its start."""
    before, peak, done = own_pages(), 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, own_pages())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    try:
        value = work()
        return value, time.perf_counter() - started, max(peak, own_pages()) - before
    finally:
        done.set()
        watcher.join()


def one_by_one(queries: Floats, pool: Floats, low: float, high: float) -> Found:
    found = []
    for query in queries:
        sims = pool @ query
        top = np.argpartition(-sims, TOP)[:TOP]
        top = top[np.argsort(-sims[top])]
        found.append(top[(sims[top] >= low) & (sims[top] <= high)])
    return found


def one_by_one_faiss(queries: Floats, index: Any, low: float, high: float) -> Found:
    found = []
    for query in queries:
        sims, rows = index.search(query[None], TOP)
        found.append(rows[0][(sims[0] >= low) & (sims[0] <= high)])
    return found


def wanted(queries: Floats, pool: Floats, low: float, high: float, k: int) -> tuple[Found, list[int]]:
    """Rows that must be found (float64, edges left out), and how many lie above the band."""
    sims = np.concatenate(
        [queries.astype(np.float64) @ pool[s : s + 50_000].astype(np.float64).T for s in range(0, len(pool), 50_000)], 1
    )
    rows = []
    for row in sims:
        inside = np.flatnonzero((row >= low + 1e-6) & (row <= high - 1e-6))
        best = inside[np.argsort(-row[inside], kind="stable")]
        edge = row[best[k]] + 1e-6 if len(best) > k else -np.inf
        rows.append(best[:k][row[best[:k]] > edge])
    return rows, [int((row > high).sum()) for row in sims]


def recall(found: Found, truth: Found) -> float:
    there = sum(len(np.intersect1d(f, t)) for f, t in zip(found, truth, strict=True))
    return there / max(1, sum(map(len, truth)))


def compare(queries: Floats, pool: Floats, o: argparse.Namespace) -> Iterator[Run]:
    """Ours first, then each peer, on queries taken at equal distances."""
    import faiss

    some = np.linspace(0, len(queries) - 1, min(o.peer_queries, len(queries))).astype(int)
    truth, above = wanted(queries[some[: o.check]], pool, o.low, o.high, o.k)
    print(f"neighbours above the band: quartiles {np.quantile(above, [0, 0.25, 0.5, 0.75, 1]).astype(int).tolist()}")
    scale = len(queries) / len(some)

    def run(name: str, work: Callable[[], Found], factor: float = 1.0, rows: NDArray[Any] = some) -> Run:
        found, seconds, memory = measured(work)
        part = [found[i] for i in (some[: o.check] if len(found) > len(some) else range(len(truth)))]
        print(f"{name}: {seconds:.1f} s")
        return Run(name, seconds * factor, len(found), recall(part, truth), memory)

    band_search(queries[:8], pool[:2000], o.low, o.high, o.k)
    yield run("ours, exact", lambda: [f.indices for f in band_search(queries, pool, o.low, o.high, o.k)])
    for kind in o.index:
        index, building, held = measured(lambda kind=kind: ApproximateIndex(pool, kind, o.probes))
        name = f"ours, {kind}, {o.probes} probes (built in {building:.0f} s, {held:.0f} MiB)"
        yield run(name, lambda index=index: [f.indices for f in index.search(queries, o.low, o.high, o.k)])
        del index
    whole, _, held = measured(lambda: np.array(pool))
    few = queries[some]
    print(f"pool in memory for the peers: {held:.0f} MiB")
    yield run("(a) one query at a time, NumPy", lambda: one_by_one(few, whole, o.low, o.high), scale)
    flat = faiss.IndexFlatIP(whole.shape[1])
    flat.add(whole)
    yield run("(a) one query at a time, FAISS", lambda: one_by_one_faiss(few, flat, o.low, o.high), scale)
    for width in o.miner:
        (found, seconds), _, memory = measured(lambda width=width: mined(few, whole, o.low, o.high, o.k, width))
        name = f"(b) mine_hard_negatives, range_max {width}"
        print(f"{name}: {seconds:.1f} s")
        yield Run(name, seconds * scale, len(few), recall(found[: len(truth)], truth), memory)


def lines_of(runs: list[Run]) -> Iterator[str]:
    yield "| method | seconds | ours is faster | recall | own memory, MiB | queries run |"
    yield "|---|---|---|---|---|---|"
    for run in runs:
        ratio = "-" if run is runs[0] else f"{run.seconds / runs[0].seconds:.1f}x"
        yield (f"| {run.name} | {run.seconds:.1f} | {ratio} | {run.recall:.4f} | {run.memory:.0f} | {run.queries:,} |")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--queries", type=int, default=2000)
    parser.add_argument("--peer-queries", type=int, default=100, help="queries the peers run; times are scaled")
    parser.add_argument("--check", type=int, default=100, help="of these, queries whose recall is measured")
    parser.add_argument("--low", type=float, default=0.8)
    parser.add_argument("--high", type=float, default=0.9)
    parser.add_argument("-k", type=int, default=30)
    parser.add_argument("--index", nargs="*", choices=("ivf", "hnsw"), default=(), help="approximate indexes too")
    parser.add_argument("--probes", type=int, default=64)
    parser.add_argument("--miner", nargs="*", type=int, default=(300, 2000), help="range_max of the miner")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--cache", type=Path, help="folder that keeps the real embeddings")
    parser.add_argument("--out", type=Path, help="append the results to this Markdown file")
    return parser.parse_args()


def main() -> None:
    import faiss

    o = options()
    torch.set_num_threads(o.threads)
    faiss.omp_set_num_threads(o.threads)
    with tempfile.TemporaryDirectory() as folder:
        real, kind = centres(o.cache or Path(folder) / "cache", o.dim)
        pool = mapped_pool(Path(folder) / "pool.f32", real, o.rows)
        queries = around(real, o.queries, np.random.default_rng(2))
        runs = list(compare(queries, pool, o))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report = [
        f"## {datetime.date.today()}: {platform.machine()}, {os.cpu_count()} cores, {o.threads} threads, CPU",
        "",
        f"`python benchmarks/retrieval.py --rows {o.rows} --dim {o.dim} --queries {o.queries} --peer-queries "
        f"{o.peer_queries} --low {o.low} --high {o.high} -k {o.k} --threads {o.threads}`; {o.rows:,} vectors of "
        f"{o.dim} {kind}, {o.queries:,} queries; recall over {min(o.check, o.peer_queries)} queries; "
        f"torch {torch.__version__}, faiss {faiss.__version__}, numpy {np.__version__}. Load average at the end "
        f"{os.getloadavg()[0]:.1f}; the whole process peaked at {peak:.0f} MiB, the peers' copy of the pool and mapped "
        "pages among them.",
        "",
        *lines_of(runs),
    ]
    print("\n".join(report))
    if o.out:
        o.out.parent.mkdir(parents=True, exist_ok=True)
        with o.out.open("a", encoding="utf-8") as file:
            file.write("\n".join(report) + "\n\n")


if __name__ == "__main__":
    main()
