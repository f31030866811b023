"""Each method family's score per RL row; low = filtered first."""

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from ..errors import SeamError
from ..experiment import Form
from ._lowest import unit_hash

Scores = tuple[list[float | None], dict[str, str]]
"""Scores in the order of the ids, and why a score is null."""


def by_seam(ids: Sequence[str], seam_scores: pa.Table, form: Form) -> Scores:
    """SEAM itself (paper, section 6.1): very negative = the policy and the reward model are not seamless there."""
    return _column(ids, seam_scores, f"seam_{form}", "SEAM scores")


def by_chance(ids: Sequence[str], seed: int) -> Scores:
    """A hash of seed and id (the paper's random baseline): rows added later never change the others' order."""
    return [unit_hash(id_, f"random {seed}") for id_ in ids], {}


def by_perplexity(ids: Sequence[str], perplexities: pa.Table) -> Scores:
    """Minus the base model's perplexity of the instruction (paper, section 6.1: high perplexity is dropped)."""
    values, reasons = _column(ids, perplexities, "perplexity", "Perplexities")
    return [None if value is None else -value for value in values], reasons


def by_length(rl_train: pa.Table) -> Scores:
    """The golden response's length in characters (scoring/baselines.py): short answers are dropped."""
    from ..scoring.baselines import response_length

    ids = rl_train["id"].to_pylist()
    return by_baseline(ids, response_length(ids, rl_train["golden_response"].to_pylist()))


def by_baseline(ids: Sequence[str], scores: pa.Table) -> Scores:
    """A baseline's own score, whose docstring in scoring/baselines.py has its source and its sign."""
    return _column(ids, scores, "score", "Baseline scores")


def _column(ids: Sequence[str], table: pa.Table, column: str, what: str) -> Scores:
    absent = next((name for name in ("id", column) if name not in table.column_names), None)
    if absent is not None:
        raise SeamError(f"{what}: column {absent} is missing (found: {', '.join(table.column_names)}).")
    kind = table[column].type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind)):
        raise SeamError(f"{what}: column {column} has {kind} values; it must hold numbers.")
    rows = dict(zip(table["id"].to_pylist(), table[column].to_pylist(), strict=True))
    if len(rows) < table.num_rows:
        twice = Counter(table["id"].to_pylist()).most_common(1)[0][0]
        raise SeamError(f"{what}: id {twice!r} appears twice; ids must be unique.")
    missing = next((id_ for id_ in ids if id_ not in rows), None)
    if missing is not None:
        raise SeamError(f"{what} have no row for id {missing!r}; score the same RL rows that are selected from.")
    whys = table["reason"].to_pylist() if "reason" in table.column_names else [None] * table.num_rows
    reasons = {id_: why for id_, why in zip(table["id"].to_pylist(), whys, strict=True) if why}
    return [rows[id_] for id_ in ids], reasons
