"""SEAM-Contrast: golden responses of similar but other questions (SPEC section 6)."""

import hashlib
from collections import defaultdict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ..errors import SeamError
from ..experiment import Contrast
from ..progress import Progress, silent
from ._rows import Candidate, Rows
from ._texts import Distinct, normalised
from .embedding import Neighbours, band_search, embed


def contrast_candidates(
    rl: pa.Table,
    pool: pa.Table,
    settings: Contrast,
    n: int,
    progress: Progress = silent,
    *,
    device: str = "cpu",
) -> pa.Table:
    """CANDIDATES for each row of `rl`: answers of its n nearest other instructions in the similarity band.

    rl: `id, instruction, golden_response`. pool: the same columns; only its train rows should be given.
    Left out: rows with the same id or the same instruction (layout aside), and answers that equal or nearly equal the
    golden one or a nearer candidate. `source` is the neighbour's id, `similarity` the cosine of the instructions.
    """
    pool = _first_by_hash(pool, settings.max_pool)
    if not pool.num_rows:
        raise SeamError("candidates.contrast: the pool has no rows; give more SFT data or set contrast to null.")
    instructions = [*rl["instruction"].to_pylist(), *pool["instruction"].to_pylist()]
    vectors = embed(instructions, settings.embedding, device=device, progress=progress)
    sets = _Search(rl, pool, settings, n).run(vectors[: rl.num_rows], vectors[rl.num_rows :])
    rows = Rows()
    for id, candidates in zip(rl["id"].to_pylist(), sets, strict=True):
        rows.add(id, candidates, _short(len(candidates), n, settings), "contrast")
    return rows.table()


def _first_by_hash(pool: pa.Table, most: int | None) -> pa.Table:
    if most is None or pool.num_rows <= most:
        return pool
    keys = [hashlib.sha256(id.encode()).digest() for id in pool["id"].to_pylist()]
    return pool.take(sorted(sorted(range(len(keys)), key=keys.__getitem__)[:most]))


def _short(found: int, n: int, settings: Contrast) -> str | None:
    if found >= n:
        return None
    return f"{found} of {n}: only {found} different answers in the band [{settings.low:g}, {settings.high:g}]"


class _Search:
    """Widens the band search for those instructions whose neighbours' answers repeat each other."""

    def __init__(self, rl: pa.Table, pool: pa.Table, settings: Contrast, n: int) -> None:
        self.settings, self.n = settings, n
        self.golden: list[str] = rl["golden_response"].to_pylist()
        self.ids: list[str] = pool["id"].to_pylist()
        self.answers: list[str] = pool["golden_response"].to_pylist()
        self.excluded = _excluded(rl, pool)

    def run(self, queries: NDArray[np.float32], vectors: NDArray[np.float32]) -> list[list[Candidate]]:
        sets: list[list[Candidate]] = [[] for _ in self.golden]
        todo, k = list(range(len(self.golden))), self.n + 8
        while todo:
            exclude = [self.excluded[q] for q in todo]
            hits = band_search(queries[todo], vectors, self.settings.low, self.settings.high, k, exclude)
            still = []
            for q, found in zip(todo, hits, strict=True):
                sets[q] = self._different(self.golden[q], found)
                if len(sets[q]) < self.n and len(found.indices) == k:
                    still.append(q)
            todo, k = still, k * 4
        return sets

    def _different(self, golden: str, found: Neighbours) -> list[Candidate]:
        distinct, kept = Distinct([golden]), []
        for row, similarity in zip(found.indices, found.similarities, strict=True):
            if self.answers[row].strip() and distinct.add(self.answers[row]):
                kept.append(Candidate(self.answers[row], self.ids[row], float(similarity)))
            if len(kept) == self.n:
                break
        return kept


def _excluded(rl: pa.Table, pool: pa.Table) -> list[set[int]]:
    """Per instruction, the pool rows that are the question itself or give its golden answer."""
    by_id, by_question, by_answer = (defaultdict[str, list[int]](list) for _ in range(3))
    for row, item in enumerate(pool.select(["id", "instruction", "golden_response"]).to_pylist()):
        by_id[item["id"]].append(row)
        by_question[normalised(item["instruction"])].append(row)
        by_answer[normalised(item["golden_response"])].append(row)
    return [
        {
            *by_id.get(item["id"], ()),
            *by_question.get(normalised(item["instruction"]), ()),
            *by_answer.get(normalised(item["golden_response"]), ()),
        }
        for item in rl.select(["id", "instruction", "golden_response"]).to_pylist()
    ]
