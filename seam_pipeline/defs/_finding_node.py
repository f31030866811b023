"""The asset around a finding, and its inputs by rank and by cell."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from ..experiment import Cell, Experiment
from ._node import Inputs, Node, Partition, Step

if TYPE_CHECKING:
    from ..findings import Finding

GROUP = "8_findings"
VERSION = "4"
"""Of all findings: they are made in seconds, so a change in one makes all anew."""
ByRank = Mapping[Partition, Any]


def finding_node(
    name: str,
    compute: Callable[[Step, Inputs], "Finding"],
    deps: tuple[str, ...],
    settings: Callable[[Experiment], tuple[Any, ...]] = lambda _: (),
    best: frozenset[str] = frozenset(),
) -> Node:
    """A finding's asset; `settings` decide its content besides its inputs, `best` as in Node."""
    return Node(
        name,
        GROUP,
        f"Finding: {name.replace('_', ' ')}; numbers, sentence and figure.",
        lambda step, inputs: compute(step, inputs).to_dict(),
        deps=deps,
        best=best,
        settings=lambda e, _: settings(e),
        version=VERSION,
        figure=_png,
    )


def _png(value: Mapping[str, Any]) -> bytes | None:
    from ..findings import Finding

    figure = Finding.from_dict(value).figure
    return figure.panels[0].png if figure and figure.panels else None


def by_pm(values: ByRank) -> dict[int, Any]:
    return {p.pm: value for p, value in values.items() if p.pm is not None}


def by_rm(values: ByRank) -> dict[int, Any]:
    return {p.rm: value for p, value in values.items() if p.rm is not None}


def cells_of(rows: ByRank) -> dict[Cell, pa.Table]:
    """Undo `by_policy`: one table per cell."""
    found: dict[Cell, pa.Table] = {}
    for partition, table in rows.items():
        for rm in sorted(set(table["rm"].to_pylist())):
            found[(partition.pm or 0, rm)] = table.filter(pc.equal(table["rm"], rm)).drop_columns(["rm"])
    return found
