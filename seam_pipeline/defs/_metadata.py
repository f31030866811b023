"""What Dagster's pages show of an asset and of each of its artifacts."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pyarrow as pa

from ..experiment import Experiment
from ..store import Store
from ._node import Axis, Node, Partition
from ._pools import pool_of
from ._run import Made
from ._study import Study


def described(study: Study, node: Node) -> str:
    """The node's description and, below it, what its partitions are."""
    e = node.follows or study.experiment
    ladders = {"pm": _ladder("pm", e.policy.ranks, _examples(e)), "rm": _ladder("rm", e.reward.ranks, "pairs")}
    axes: Mapping[Axis, tuple[str, ...]] = {"one": (), "pm": ("pm",), "rm": ("rm",), "grid": ("pm", "rm")}
    lines = [ladders[axis] for axis in axes[node.axis]]
    if node.cells is not None and node.axis == "grid":
        cells = ", ".join(f"{pm}|{rm}" for pm, rm in node.cells[:12])
        lines.append(f"Asked for (policy|reward model): {cells}{' ...' if len(node.cells) > 12 else ''}.")
    return "\n\n".join([node.description, *lines])


def _ladder(axis: str, ranks: tuple[int, ...], unit: str) -> str:
    named = ", ".join(f"`{axis}{rank:02d}` {n:,}" for rank, n in enumerate(ranks, start=1))
    models = {"pm": "Policies by rank, tuned on so many", "rm": "Reward models by rank, trained on so many"}[axis]
    return f"{models} {unit}: {named}."


def _examples(e: Experiment) -> str:
    return "steps" if e.policy.sft.unit == "steps" else "examples"


def meaning(e: Experiment, partition: Partition) -> str | None:
    """`policy rank 1 of 4 (1,400 examples), reward model rank 2 of 4 (800 pairs)`; None off the axes."""
    found = []
    if partition.pm is not None:
        ranks = e.policy.ranks
        found.append(f"policy rank {partition.pm} of {len(ranks)} ({ranks[partition.pm - 1]:,} {_examples(e)})")
    if partition.rm is not None:
        ranks = e.reward.ranks
        found.append(f"reward model rank {partition.rm} of {len(ranks)} ({ranks[partition.rm - 1]:,} pairs)")
    return ", ".join(found) or None


def kinds_of(study: Study, node: Node) -> set[str]:
    """Icons: what runs (`pytorch`, an LLM) and what comes out (`parquet`, a figure)."""
    pool = pool_of(study, node)
    runs = {"gpu": {"pytorch"}, "compute": {"pytorch"}, "llm": {"openai"}}.get(pool or "", set())
    tables = {"parquet"} if node.schema is not None else set()
    return {*node.kinds, *runs, *tables}


def tags_of(study: Study, node: Node) -> dict[str, str]:
    """To search assets by: `tag:"seam/axis"=grid`, `tag:"seam/pool"=gpu`."""
    pool = pool_of(study, node)
    return {"seam/axis": node.axis, **({"seam/pool": pool} if pool else {})}


def metadata_of(study: Study, node: Node, store: Store, made: Made) -> Iterator[tuple[str, Any]]:
    """Of one artifact: its files, its numbers, first rows, and its learning curve or figure."""
    partition = Partition.parse(made.record.partition)
    value, ranks = made.value, meaning(node.follows or study.experiment, partition)
    if ranks:
        yield "ranks", ranks
    yield from _tables(value)
    image = node.figure(value) if node.figure else None
    if image:
        encoded = base64.b64encode(image).decode()
        yield "figure", dg.MetadataValue.md(f"![{node.name}](data:image/png;base64,{encoded})")
    yield "path", dg.MetadataValue.path(str(store.path(node.name, made.record.partition)))
    yield "seconds", made.record.seconds
    yield from made.record.notes.items()
    yield "experiment", study.experiment.name
    yield "recipe", made.record.recipe


def _tables(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, pa.Table):
        yield "dagster/row_count", value.num_rows
        yield "preview", dg.MetadataValue.md(preview(value))
        nulls = {name: value[name].null_count for name in value.column_names if value[name].null_count}
        if nulls:
            yield "nulls", dg.MetadataValue.json(nulls)
    elif isinstance(value, dict) and value and all(isinstance(v, pa.Table) for v in value.values()):
        yield "dagster/row_count", sum(v.num_rows for v in value.values())
        for name, table in value.items():
            yield f"preview_{name}", dg.MetadataValue.md(preview(table))


def preview(table: pa.Table, rows: int = 5, width: int = 60) -> str:
    """The first rows as a Markdown table, long cells cut."""

    def cell(value: Any) -> str:
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        text = " ".join(text.split()).replace("|", "\\|")
        return text if len(text) <= width else text[: width - 1] + "…"

    names = table.column_names
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    lines += ["| " + " | ".join(cell(v) for v in row.values()) + " |" for row in table.slice(0, rows).to_pylist()]
    return "\n".join(lines)
