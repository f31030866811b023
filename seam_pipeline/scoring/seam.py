"""SEAM (paper, section 5.2): how much a reward model misjudges what its policy would write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import SeamError
from ..tables import CANDIDATE_SCORES, SEAM_SCORES
from .items import GOLDEN_INDEX

Floats = NDArray[np.float64]
KEYS = ["id", "candidate_index"]


@dataclass(frozen=True)
class SeamTables:
    """`scores` (SEAM_SCORES, one row per id) and `candidate_scores` (CANDIDATE_SCORES, one row per candidate)."""

    scores: pa.Table
    candidate_scores: pa.Table


def misjudgement(reward: Floats, golden_reward: Floats) -> Floats:
    """eps(r*) = max(R(I, r*) - R(I, r), 0) (eq. 3), in units of reward; NaN where either reward is."""
    return np.maximum(reward - golden_reward, 0.0)


def seam_forms(log_mean: Floats, eps: Floats, row: NDArray[np.intp], n: int) -> dict[str, Floats]:
    """The four forms per instruction; low (very negative) = the pair is not seamless on it.

    `log_mean` [c] is l = log P(r* | I) / len(r*) <= 0, `eps` [c] the misjudgement, `row` [c] the instruction of
    each candidate, in 0..n-1. log = sum l * eps (eq. 2 with the length penalty, as the paper computes it);
    prob = -sum exp(l) * eps (SPEC.md, section 6); mean_* = the same divided by the candidates used.
    Each result is [n], 0 for an instruction without candidates.
    """
    used = np.bincount(row, minlength=n).clip(min=1)
    log = np.bincount(row, weights=log_mean * eps, minlength=n)
    prob = 0.0 - np.bincount(row, weights=np.exp(log_mean) * eps, minlength=n)
    return {"seam_log": log, "seam_prob": prob, "seam_mean_log": log / used, "seam_mean_prob": prob / used}


def seam_scores(
    likelihoods: pa.Table, rewards: pa.Table, ids: Sequence[str], candidates: pa.Table | None = None
) -> SeamTables:
    """Join LIKELIHOODS and REWARDS into SEAM per instruction, in the order of `ids`.

    A candidate without a finite likelihood or reward is left out of the sum; its row in `candidate_scores` says
    why, and `n_candidates` counts those that took part. The score is null, with a reason, when none did or when
    the golden response has no reward; `reason` is null exactly where the score is not.
    `candidates` (CANDIDATES) also lists those that neither scorer saw, and says why a set is empty.
    Raises SeamError for repeated (id, candidate_index) rows and for ids that are not in `ids`.
    """
    order = _positions(ids)
    golden, golden_reason = _golden(rewards, order)
    joined = _joined(likelihoods, rewards, candidates)
    row = _rows(joined["id"], order, "candidates")
    by = np.lexsort((joined["candidate_index"].to_numpy(), row))
    joined, row = joined.take(pa.array(by)), row[by]

    loglik, n_tokens = _floats(joined["loglik"]), _floats(joined["n_tokens"])
    reward, golden_reward = _floats(joined["reward"]), golden[row]
    eps = misjudgement(reward, golden_reward)
    used = np.isfinite(loglik) & (n_tokens > 0) & np.isfinite(eps)
    forms = seam_forms(loglik[used] / n_tokens[used], eps[used], row[used], len(order))
    n_used = np.bincount(row[used], minlength=len(order))
    whys = _why_left_out(joined, used, golden_reward, [golden_reason.get(int(r), "") for r in row[~used]])

    columns = {
        "id": joined["id"],
        "candidate_index": joined["candidate_index"],
        "loglik": _nullable(loglik),
        "n_tokens": joined["n_tokens"],
        "reward": _nullable(reward),
        "golden_reward": _nullable(golden_reward),
        "misjudgement": _nullable(eps),
        "reason": pa.array(whys, pa.string()),
    }
    scored = n_used > 0
    reasons = _why_null(order, scored, golden, golden_reason, row, whys, _short_sets(candidates))
    scores = {
        "id": pa.array(list(order), pa.string()),
        **{name: pa.array(values, mask=~scored) for name, values in forms.items()},
        "n_candidates": pa.array(n_used, pa.int32()),
        "reason": pa.array(reasons, pa.string()),
    }
    return SeamTables(pa.table(scores, schema=SEAM_SCORES), pa.table(columns, schema=CANDIDATE_SCORES))


def _positions(ids: Sequence[str]) -> dict[str, int]:
    order = {id_: position for position, id_ in enumerate(ids)}
    if len(order) != len(ids):
        twice = next(id_ for position, id_ in enumerate(ids) if order[id_] != position)
        raise SeamError(f"Instructions: id {twice!r} appears twice; ids must be unique.")
    return order


def _rows(ids: pa.ChunkedArray, order: Mapping[str, int], what: str) -> NDArray[np.intp]:
    found = pc.index_in(ids, value_set=pa.array(list(order), pa.string()))
    if found.null_count:
        stray = pc.filter(ids, pc.is_null(found))[0].as_py()
        raise SeamError(f"Scores of {what}: id {stray!r} is not among the instructions; score and data must match.")
    return found.to_numpy().astype(np.intp)


def _golden(rewards: pa.Table, order: Mapping[str, int]) -> tuple[Floats, dict[int, str]]:
    """R(I, r) by position, NaN where there is none, and why."""
    table = rewards.filter(pc.equal(rewards["candidate_index"], GOLDEN_INDEX))
    _unique(table, "Rewards")
    row, values = _rows(table["id"], order, "golden responses"), np.full(len(order), np.nan)
    values[row] = _floats(table["reward"])
    reasons = {
        int(r): why or "its reward is not finite" for r, why in zip(row, table["reason"].to_pylist(), strict=True)
    }
    return np.where(np.isfinite(values), values, np.nan), reasons


def _unique(table: pa.Table, what: str) -> None:
    counts = table.group_by(KEYS).aggregate([([], "count_all")])
    if counts.num_rows < table.num_rows:
        twice = counts.filter(pc.greater(counts["count_all"], 1)).slice(0, 1).to_pylist()[0]
        raise SeamError(f"{what}: id {twice['id']!r} has candidate_index {twice['candidate_index']} twice; once each.")


def _joined(likelihoods: pa.Table, rewards: pa.Table, candidates: pa.Table | None) -> pa.Table:
    """One row per (id, candidate_index >= 0) of any table, values null where a table lacks it."""
    left = _part(likelihoods, "Likelihoods", ["loglik", "n_tokens"], "no_likelihood")
    right = _part(rewards, "Rewards", ["reward"], "no_reward")
    joined = left.join(right, KEYS, join_type="full outer")
    if candidates is not None:
        known = candidates.filter(pc.is_valid(candidates["candidate"]))
        joined = joined.join(_part(known, "Candidates", [], None), KEYS, join_type="full outer")
    return joined.combine_chunks()


def _part(table: pa.Table, what: str, values: list[str], reason: str | None) -> pa.Table:
    table = table.filter(pc.greater_equal(table["candidate_index"], 0))
    _unique(table, what)
    columns = [*KEYS, *values] + (["reason"] if reason else [])
    return table.select(columns).rename_columns([reason if name == "reason" else name for name in columns])


def _floats(column: pa.ChunkedArray) -> Floats:
    """Float64 with NaN for null."""
    return pc.fill_null(pc.cast(column, pa.float64()), float("nan")).to_numpy().astype(np.float64)


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, pa.float64(), mask=~np.isfinite(values))


def _why_left_out(joined: pa.Table, used: NDArray[np.bool_], golden: Floats, golden_reasons: list[str]) -> list[Any]:
    """Why each candidate takes no part, null for those that do."""
    whys: list[str | None] = [None] * len(used)
    for place, golden_reason in zip(np.flatnonzero(~used), golden_reasons, strict=True):
        row = joined.slice(int(place), 1).to_pylist()[0]
        if row["loglik"] is None or not np.isfinite(row["loglik"]) or not row["n_tokens"]:
            whys[place] = f"no likelihood: {row['no_likelihood'] or 'it was not scored'}"
        elif row["reward"] is None or not np.isfinite(row["reward"]):
            whys[place] = f"no reward: {row['no_reward'] or 'it was not scored'}"
        elif not np.isfinite(golden[place]):
            whys[place] = f"golden response has no reward: {golden_reason or 'it was not scored'}"
        else:
            whys[place] = "its rewards are too far apart to subtract"
    return whys


def _short_sets(candidates: pa.Table | None) -> dict[str, str]:
    """Reasons given by the candidate builders for short sets."""
    if candidates is None or "reason" not in candidates.column_names:
        return {}
    marks = candidates.filter(pc.and_(pc.is_null(candidates["candidate"]), pc.is_valid(candidates["reason"])))
    return dict(zip(marks["id"].to_pylist(), marks["reason"].to_pylist(), strict=True))


def _why_null(
    order: Mapping[str, int],
    scored: NDArray[np.bool_],
    golden: Floats,
    golden_reason: Mapping[int, str],
    row: NDArray[np.intp],
    whys: Sequence[str | None],
    short: Mapping[str, str],
) -> list[str | None]:
    counts = np.bincount(row, minlength=len(order))
    first = {int(r): why for r, why in zip(row[::-1], whys[::-1], strict=True)}
    reasons: list[str | None] = []
    for id_, place in order.items():
        if scored[place]:
            reasons.append(None)
        elif not np.isfinite(golden[place]):
            reasons.append(f"golden response has no reward: {golden_reason.get(place, 'it was not scored')}")
        elif not counts[place]:
            reasons.append(f"no candidates: {short[id_]}" if id_ in short else "no candidates")
        else:
            reasons.append(f"none of its {counts[place]} candidates could be scored ({first[place]})")
    return reasons
