"""Training data like some instructions: contrast instructions with answers and with pairs (paper, section 7.1)."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import SeamError
from ..experiment import Contrast
from ..progress import Progress, silent
from ..tables import PREFERENCE, SFT
from ._texts import normalised
from .contrast import contrast_candidates

WIDER = 4
"""Neighbours looked up per sample wanted, as several instructions share their nearest ones."""
Pairs = Literal["own", "contrast"]
POOL = ("id", "instruction", "golden_response")
SAMPLES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("sample_index", pa.int32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("similarity", pa.float64(), nullable=False),
    ]
)
"""One row per sample: the instruction that it is for, the pool row that it is, and their cosine."""


class Augmentation(NamedTuple):
    """What is added to the two training sets, and how it came about."""

    sft: pa.Table
    """SFT rows (split train): contrast instructions with their golden responses."""
    preference: pa.Table
    """PREFERENCE rows (split train); their scores 1 and 0 only say which answer is the better one."""
    samples: pa.Table
    """SAMPLES"""
    counts: pa.Table
    """`what, rows`: sizes, what was left out of the pool, and how many instructions got fewer samples."""


class Pool(NamedTuple):
    """Rows to draw from, and counts of what is not among them."""

    rows: pa.Table
    """`id, instruction, golden_response`"""
    counts: dict[str, int]


def augmentation_pool(sft: pa.Table, preference: pa.Table, rl: pa.Table, trained: pa.Table) -> Pool:
    """Train questions of all three segments with their best answers that the policy has not been trained on.

    sft, preference, rl: whole datasets; trained: the SFT rows of the policy. A question is left out when its text
    (layout aside) is that of a dev or test question of any segment, of a row of `trained`, or of an earlier row.
    """
    held_out = {text for table in (sft, preference, rl) for text in _texts(_not_train(table))}
    known, counts = set(_texts(trained)), dict.fromkeys(LEFT_OUT, 0)
    seen: set[str] = set()
    rows = []
    for row in (*_rows(sft), *_best_answers(preference), *_rows(rl)):
        text = normalised(row[1])
        why = next((w for w, there in zip(LEFT_OUT, (held_out, known, seen), strict=True) if text in there), None)
        if why is None:
            seen.add(text)
            rows.append(row)
        else:
            counts[why] += 1
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    return Pool(pa.table({n: pa.array(c, pa.string()) for n, c in zip(POOL, columns, strict=True)}), counts)


LEFT_OUT = (
    "pool rows left out: a dev or test question",
    "pool rows left out: the policy was trained on it",
    "pool rows left out: the same question again",
)


def augment(
    chosen: pa.Table,
    pool: Pool,
    preference: pa.Table,
    settings: Contrast,
    samples: int,
    pairs: Pairs = "own",
    progress: Progress = silent,
    *,
    device: str = "cpu",
    cache: Path | None = None,
) -> Augmentation:
    """For each instruction I of `chosen` (RL rows) the nearest `samples` pool questions I' in the similarity band.

    The policy gets (I', r') with r' the golden response of I'. The reward model gets two good answers of which only the
    instruction tells the right one, as in Contrast Instructions (Shen et al. 2023, arXiv 2309.16155). With r the golden
    response of I, `pairs` is `own`: (I, r over r'), the pair of which the paper's section 5.2 says that I with r is
    better, at the instruction that was found weak; or `contrast`: (I', r' over r), which adds new instructions. The
    paper does not say which one it added.

    A pool row is used once: in turns, each instruction takes its nearest one that is still free. Rows of `preference`
    (train) are not repeated. Raises SeamError when there is nothing to add.
    """
    rows = {id: (text, answer) for id, text, answer in _tuples(pool.rows, *POOL)}
    taken = _shared_out(_neighbours(chosen, pool.rows, settings, samples, progress, device, cache), samples)
    if not taken:
        raise SeamError(
            f"augmentation: no pool question lies in the band [{settings.low:g}, {settings.high:g}] of the "
            f"{chosen.num_rows} chosen instructions; widen low and high."
        )
    sft = [(source, "train", *rows[source]) for _, source, _ in taken]
    made = list(_pairs(taken, {id: (text, answer) for id, text, answer in _tuples(chosen, *POOL)}, rows, pairs))
    known = _pairs_of(preference, {pair[3] for pair in made})
    new = [pair for pair in made if _key(*pair[3:6]) not in known]
    per_id = dict.fromkeys(chosen["id"].to_pylist(), 0)
    numbered = []
    for id, source, similarity in taken:
        numbered.append((id, per_id[id], source, similarity))
        per_id[id] += 1
    counts = {
        "instructions chosen": len(per_id),
        "pool questions": pool.rows.num_rows,
        **pool.counts,
        "SFT examples added": len(sft),
        "preference pairs added": len(new),
        "pairs left out: already a training pair": len(made) - len(new),
        f"instructions with fewer than {samples} samples": sum(n < samples for n in per_id.values()),
        "instructions without a sample": sum(n == 0 for n in per_id.values()),
    }
    what = pa.table({"what": list(counts), "rows": pa.array(counts.values(), pa.int64())})
    return Augmentation(_table(sft, SFT), _table(new, PREFERENCE), _table(numbered, SAMPLES), what)


def _pairs(
    taken: list[tuple[str, str, float]], own: dict[str, tuple[str, str]], pool: dict[str, tuple[str, str]], pairs: Pairs
) -> Iterator[tuple[str, str, str, str, str, str, int, int]]:
    """PREFERENCE rows."""
    for id, source, _ in taken:
        sides = (id, *own[id], pool[source][1]) if pairs == "own" else (source, *pool[source], own[id][1])
        yield (f"{id}:{source}", sides[0], "train", *sides[1:], 1, 0)


def _neighbours(
    chosen: pa.Table,
    pool: pa.Table,
    settings: Contrast,
    samples: int,
    progress: Progress,
    device: str,
    cache: Path | None,
) -> dict[str, list[tuple[str, float]]]:
    """Pool rows and cosines by instruction, nearest first."""
    found = contrast_candidates(chosen, pool, settings, WIDER * samples, progress, device=device, cache=cache)
    near: dict[str, list[tuple[str, float]]] = {id: [] for id in chosen["id"].to_pylist()}
    for id, index, source, similarity in _tuples(found, "id", "candidate_index", "source", "similarity"):
        if index >= 0:
            near[id].append((source, similarity))
    return near


def _shared_out(near: dict[str, list[tuple[str, float]]], samples: int) -> list[tuple[str, str, float]]:
    """(instruction, pool row, cosine): in each of `samples` turns every instruction takes its nearest free row."""
    taken: set[str] = set()
    waiting = {id: iter(rows) for id, rows in near.items()}
    found = []
    for _ in range(samples):
        for id, rows in waiting.items():
            free = next((row for row in rows if row[0] not in taken), None)
            if free is not None:
                taken.add(free[0])
                found.append((id, *free))
    return found


def _not_train(table: pa.Table) -> pa.Table:
    return table.filter(pc.not_equal(table["split"], "train"))


def _train(table: pa.Table) -> pa.Table:
    return table.filter(pc.equal(table["split"], "train"))


def _texts(table: pa.Table) -> Iterator[str]:
    return map(normalised, table["instruction"].to_pylist())


def _rows(table: pa.Table) -> Iterator[tuple[str, str, str]]:
    yield from _tuples(_train(table), *POOL)


def _best_answers(preference: pa.Table) -> Iterable[tuple[str, str, str]]:
    """One row per train question: the chosen answer of highest score, the first of equal ones."""
    best: dict[str, tuple[int, str, str]] = {}
    columns = ("question_id", "chosen_score", "instruction", "chosen")
    for id, score, instruction, chosen in _tuples(_train(preference), *columns):
        if id not in best or score > best[id][0]:
            best[id] = (score, instruction, chosen)
    return [(id, instruction, chosen) for id, (_, instruction, chosen) in best.items()]


def _pairs_of(preference: pa.Table, instructions: set[str]) -> set[tuple[str, ...]]:
    rows = _tuples(_train(preference), "instruction", "chosen", "rejected")
    return {_key(*row) for row in rows if row[0] in instructions}


def _key(*texts: str) -> tuple[str, ...]:
    return tuple(map(normalised, texts))


def _tuples(table: pa.Table, *names: str) -> Iterator[tuple]:
    return zip(*(table[name].to_pylist() for name in names), strict=True)


def _table(rows: list, schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)
