"""What a user's scores can select by: `seam score`'s output folder, or a table of the user's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import SeamError
from ..experiment import Form
from ..scoring import baselines
from ..scoring._own_data import checked, read_file, refuse_repeats
from ..scoring.items import GOLDEN_INDEX
from ..tables import REWARDS
from ._evidence import Scores, by_chance

SAMPLE_REWARDS = "sample_rewards"
SIX = ("golden_reward", "worse_reward", "policy_golden_loglik", "policy_worse_loglik", "base_golden_loglik",
       "base_worse_loglik")  # fmt: skip
NEEDS = {
    "seam": "seam_log, seam_prob, seam_mean_log or seam_mean_prob, as --form says",
    "random": "nothing but ids",
    "perplexity": "perplexity",
    "reward": "golden_reward, there or in candidate_scores.parquet",
    "length": "golden_response, there or in --data",
    "reward_variance": f"{SAMPLE_REWARDS}, a list per row",
    "pre_ppo": f"{SAMPLE_REWARDS}, a list per row",
    "pf_ppo": f"{SAMPLE_REWARDS}, a list per row",
    "margin_gap": ", ".join(SIX),
}
"""Columns that each method reads beside id."""

NUMBERS = (pa.types.is_floating, pa.types.is_integer, pa.types.is_decimal, pa.types.is_null)
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class OwnScores:
    """One row per id: `table` from the file `path`, and the rows per candidate beside it."""

    path: Path
    table: pa.Table
    candidates: Path

    @property
    def ids(self) -> list[str]:
        """Ids in the table's order."""
        return self.table["id"].to_pylist()


def read_scores(path: Path) -> OwnScores:
    """A folder with scores.parquet, or a parquet or JSONL file with unique ids. Raises SeamError for anything else."""
    file = path / "scores.parquet" if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        inner = sorted(str(found.parent) for found in path.glob("*/scores.parquet"))
        what = f"one of {', '.join(inner)}" if inner else "the folder that `seam score` wrote, or a table"
        raise SeamError(f"{path}: there is no scores.parquet; give {what}.")
    table = read_file(file)
    ids = checked(table, ("id",), file)["id"]
    table = table.set_column(table.column_names.index("id"), "id", ids)
    refuse_repeats(table, ["id"], file)
    return OwnScores(file, table, file.parent / "candidate_scores.parquet")


def own_scores(
    method: str, own: OwnScores, golden: Sequence[str | None] | None, form: Form, seed: int, beta: float
) -> Scores:
    """Scores in the order of `own.ids`, low = filtered first, and why a score is null.

    `golden` are the golden responses in the same order, when the dataset has them. Signs and sources are those of
    `selection._evidence` and `scoring.baselines`. Raises SeamError when a column or file is missing.
    """
    ids = own.ids
    if method == "random":
        return by_chance(ids, seed)
    if method == "seam":
        return _as_scores(own, _numbers(own, f"seam_{form}", method))
    if method == "perplexity":
        return _as_scores(own, -_numbers(own, "perplexity", method))
    if method == "length":
        found = baselines.response_length(ids, _golden(own, golden))
    elif method == "reward":
        return _golden_rewards(own)
    elif method == "margin_gap":
        parts = [(_numbers(own, name, method), [f"column {name} has no finite number"] * len(ids)) for name in SIX]
        found = baselines.gap_of_margins(ids, parts, beta)
    else:
        found = getattr(baselines, method)(_samples(own, method), ids)
    return found["score"].to_pylist(), _reasons(found)


def _column(own: OwnScores, name: str, method: str) -> pa.ChunkedArray:
    if name not in own.table.column_names:
        found = ", ".join(own.table.column_names)
        raise SeamError(f"{own.path}: {method} needs the column {name} (found: {found}); add it to the table.")
    return own.table[name]


def _numbers(own: OwnScores, name: str, method: str) -> Floats:
    column = _column(own, name, method)
    kind = column.type
    if not any(is_kind(kind) for is_kind in NUMBERS):
        raise SeamError(f"{own.path}: column {name} has {kind} values; it must hold numbers.")
    return pc.fill_null(pc.cast(column, pa.float64(), safe=False), float("nan")).to_numpy().astype(np.float64)


def _as_scores(own: OwnScores, values: Floats) -> Scores:
    """Non-finite is null; the table's own reasons say why, if it has any."""
    given = _reasons(own.table) if "reason" in own.table.column_names else {}
    known = np.isfinite(values)
    reasons = {
        i: given.get(i, "its score is missing or not finite") for i, ok in zip(own.ids, known, strict=True) if not ok
    }
    return [float(v) if ok else None for v, ok in zip(values, known, strict=True)], reasons


def _reasons(table: pa.Table) -> dict[str, str]:
    return {
        i: why
        for i, why in zip(table["id"].to_pylist(), table["reason"].to_pylist(), strict=True)
        if isinstance(why, str)
    }


def _golden(own: OwnScores, golden: Sequence[str | None] | None) -> Sequence[str | None]:
    if golden is not None:
        return golden
    if "golden_response" not in own.table.column_names:
        raise SeamError(f"length needs the column golden_response, in --data or in {own.path}; give --data.")
    return checked(own.table, ("golden_response",), own.path)["golden_response"].to_pylist()


def _golden_rewards(own: OwnScores) -> Scores:
    if "golden_reward" in own.table.column_names:
        return _as_scores(own, _numbers(own, "golden_reward", "reward"))
    if not own.candidates.is_file():
        where = f"in {own.path}, or {own.candidates.name} beside it"
        raise SeamError(f"reward needs the column golden_reward {where}; neither is there.")
    parts = OwnScores(own.candidates, read_file(own.candidates), own.candidates)
    values = dict(
        zip(
            pc.cast(_column(parts, "id", "reward"), pa.string()).to_pylist(),
            _numbers(parts, "golden_reward", "reward"),
            strict=True,
        )
    )
    scores = np.array([values.get(id_, np.nan) for id_ in own.ids])
    found, _ = _as_scores(own, scores)
    why = f"no golden_reward in {own.candidates.name}"
    return found, {id_: why for id_, score in zip(own.ids, found, strict=True) if score is None}


def _samples(own: OwnScores, method: str) -> pa.Table:
    """The list column as REWARDS, index 0 and up."""
    column = _column(own, SAMPLE_REWARDS, method).combine_chunks()
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise SeamError(f"{own.path}: column {SAMPLE_REWARDS} has {kind} values; it must hold lists of numbers.")
    try:
        values = pc.cast(pc.list_flatten(column), pa.float64())
    except pa.ArrowException as error:
        raise SeamError(
            f"{own.path}: column {SAMPLE_REWARDS} has {kind} values; it must hold lists of numbers."
        ) from error
    row = pc.list_parent_indices(column).to_numpy()
    starts = np.concatenate([[0], np.cumsum(pc.fill_null(pc.list_value_length(column), 0).to_numpy())])[row]
    index = np.arange(len(row)) - starts
    ids = own.table["id"].combine_chunks().take(pa.array(row))
    assert GOLDEN_INDEX < 0
    return pa.table({"id": ids, "candidate_index": pa.array(index, pa.int32()), "reward": values,
                     "reason": pa.nulls(len(row), pa.string())}, schema=REWARDS)  # fmt: skip
