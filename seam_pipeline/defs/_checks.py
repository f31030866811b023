"""Blocking checks shared by several assets."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ._node import Check, Inputs


def disjoint_from(*others: str, column: str = "id") -> Check:
    """No question of this dataset is in another split or in another segment."""

    def problem(table: pa.Table, inputs: Inputs) -> str | None:
        pairs = pa.table({"q": table[column], "split": table["split"]}).group_by("q")
        counts = pairs.aggregate([("split", "count_distinct")])
        twice = pc.sum(pc.greater(counts["split_count_distinct"], 1)).as_py()
        if twice:
            return f"{twice} questions are in two splits"
        for other in others:
            theirs = inputs[other]
            ids = theirs["question_id"] if "question_id" in theirs.column_names else theirs["id"]
            shared = pc.sum(pc.is_in(counts["q"], value_set=ids.combine_chunks())).as_py()
            if shared:
                return f"{shared} questions are in {other} too"
        return None

    return Check("no_question_in_two_splits", "Splits and segments share no question.", problem)


def has_rows(*splits: str) -> Check:
    """The dataset has rows, in every named split."""

    def problem(table: pa.Table, _inputs: Inputs) -> str | None:
        present = set(table["split"].to_pylist()) if splits else set()
        absent = [s for s in splits if s not in present]
        if absent:
            return f"no rows in {', '.join(absent)}: give more posts, or other splits"
        return None if table.num_rows else "no rows"

    return Check("not_empty", "There are rows to work on.", problem)


def finite(*columns: str) -> Check:
    """Numbers are finite or null, and not all null."""

    def problem(table: pa.Table, _inputs: Inputs) -> str | None:
        for column in columns:
            values = table[column]
            if pc.any(pc.invert(pc.is_finite(values))).as_py():
                return f"{column} holds NaN or infinity"
            if values.null_count == len(values):
                return f"{column} is null everywhere"
        return None

    return Check("finite", "Scores are finite or null with a reason.", problem)


def keeps_some() -> Check:
    """A selection keeps at least one instruction."""

    def problem(table: pa.Table, _inputs: Inputs) -> str | None:
        kept: Any = pc.sum(table["kept"]).as_py()
        return None if kept else "the selection keeps no instruction"

    return Check("non_empty_selection", "At least one instruction is kept.", problem)
