"""Do selection methods filter the same instructions?"""

from collections.abc import Mapping

import pyarrow as pa

from ._finding import Row, Table
from ._format import number
from ._names import cell_name, in_order, method_name
from ._tables import Cell, score_map
from .seamlessness import overlap


def agreement(selected: Mapping[str, pa.Table], pair: Cell, rate: float) -> tuple[Table, ...]:
    """Overlaps of one pair's filtered sets as a matrix, from SELECTED tables by method; nothing for fewer than two.

    Each cell is |A ∩ B| / |A| of two lowest-`rate` sets over the instructions that both methods score.
    """
    methods = [method for method in in_order(selected) if method != "full"]
    if len(methods) < 2:
        return ()
    scores = {method: score_map(selected[method], "score") for method in methods}

    def cell(a: str, b: str) -> str:
        return number(overlap(scores[a], scores[b], rate).value, 0, percent=True) if a != b else "–"

    rows: list[Row] = [(f"{method_name(a)} ({len(scores[a])})", *[cell(a, b) for b in methods]) for a in methods]
    caption = (
        f"Overlap of the filtered {rate:.0%} between methods on {cell_name(pair)} "
        f"(unrelated sets: {rate:.0%}; in brackets: instructions scored)"
    )
    return (Table(caption, ("method", *map(method_name, methods)), tuple(rows)),)
