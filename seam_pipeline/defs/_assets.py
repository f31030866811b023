"""Turning the study's nodes into Dagster assets."""

import base64
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pyarrow as pa

from ..errors import SeamError
from ..experiment import Experiment, fingerprint
from ..progress import Progress
from ..store import Store
from ._launch import launcher
from ._node import Axis, Node, Partition
from ._run import Made, make
from ._study import Study, relation


class Listener:
    """Told of in-process steps as they go; labels are `asset` or `asset [partition]`."""

    def step(self, label: str, done: int, total: int) -> None:
        """An artifact is at step `done` of `total`; (0, 0) when it starts."""

    def made(self, label: str, seconds: float) -> None:
        """An artifact has been written."""


_listeners: list[Listener] = []


def listen(listener: Listener | None) -> None:
    """Send progress of in-process steps to a listener; None sends it to Dagster's log."""
    _listeners[:] = [listener] if listener else []


def partitions_of(experiment: Experiment, axis: Axis) -> dg.PartitionsDefinition | None:
    """One partition per quality rank; the grid has both dimensions."""
    pms = dg.StaticPartitionsDefinition([f"pm{r:02d}" for r in range(1, len(experiment.policy.ranks) + 1)])
    rms = dg.StaticPartitionsDefinition([f"rm{r:02d}" for r in range(1, len(experiment.reward.ranks) + 1)])
    grid = dg.MultiPartitionsDefinition({"pm": pms, "rm": rms})
    return {"one": None, "pm": pms, "rm": rms, "grid": grid}[axis]


def build_asset(study: Study, node: Node, store: Store) -> dg.AssetsDefinition:
    """The Dagster asset of a node; its content check and data version come from the store."""
    prefix = study.experiment.name
    key = dg.AssetKey([prefix, node.name])
    all_settings = [study.settings(node, p) for p in study.axis(node.axis)]

    @dg.asset(
        key=key,
        group_name=node.group,
        description=node.description,
        deps=[_dependency(study, node, dep) for dep in node.deps],
        partitions_def=partitions_of(study.experiment, node.axis),
        code_version=f"{node.version}-{fingerprint(*all_settings)}",
        check_specs=[
            dg.AssetCheckSpec(name, asset=key, description=text, blocking=True) for name, text in _check_texts(node)
        ],
        pool="compute" if node.heavy else None,
        kinds=set(node.kinds),
        metadata={"store": str(store.path(node.name).parent), "axis": node.axis},
    )
    def step(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        partition = Partition.parse(str(context.partition_key) if context.has_partition_key else None)
        if partition not in study.wanted(node):
            raise dg.Failure(f"{node.name} [{partition.key}] is not among the experiment's arms; add it to rl.arms.")
        try:
            launch = launcher(context, study.experiment.compute, store.root / "jobs")
            made = make(study, store, node, partition, _report(context, node, partition), launch)
        except SeamError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        for listener in _listeners:
            listener.made(_label(node, partition), made.record.seconds)
        return dg.MaterializeResult(
            metadata=dict(_metadata(study, node, store, made)),
            data_version=dg.DataVersion(made.record.data_version),
            check_results=[
                dg.AssetCheckResult(passed=problem is None, check_name=name, metadata={"problem": problem or "none"})
                for name, problem in made.problems.items()
            ],
        )

    return step


def _label(node: Node, partition: Partition) -> str:
    return node.name if partition.key is None else f"{node.name} [{partition.key}]"


def _dependency(study: Study, node: Node, dep: str) -> dg.AssetDep:
    how = relation(study.nodes[dep].axis, node.axis)
    mapping: dg.PartitionMapping | None = None
    best = study.axis(study.nodes[dep].axis)[0].key
    if dep in node.best and best is not None:
        mapping = dg.SpecificPartitionsPartitionMapping([best])
    elif how == "rank":
        ranks = range(1, len(study.experiment.reward.ranks) + 1)
        mapping = dg.StaticPartitionMapping({f"pm{r:02d}": f"rm{r:02d}" for r in ranks})
    return dg.AssetDep(dg.AssetKey([study.experiment.name, dep]), partition_mapping=mapping)


def _check_texts(node: Node) -> list[tuple[str, str]]:
    schema = [("schema", "Columns, types and nulls are the documented ones.")] if node.schema else []
    return schema + [(check.name, check.description) for check in node.checks]


def _report(context: dg.AssetExecutionContext, node: Node, partition: Partition) -> Progress:
    if _listeners:
        listener, label = _listeners[0], _label(node, partition)
        listener.step(label, 0, 0)
        return lambda done, total: listener.step(label, done, total)
    started = last = time.monotonic()

    def log(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= 10 and done:
            last = now
            context.log.info(f"{done} of {total}, about {(now - started) / done * (total - done):.0f} s left")

    return log


def _metadata(study: Study, node: Node, store: Store, made: Made) -> Iterator[tuple[str, Any]]:
    yield "path", dg.MetadataValue.path(str(store.path(node.name, made.record.partition)))
    yield "experiment", study.experiment.name
    yield "recipe", made.record.recipe
    yield "seconds", made.record.seconds
    for name, note in made.record.notes.items():
        yield name, note
    value = made.value
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
    image = node.figure(value) if node.figure else None
    if image:
        encoded = base64.b64encode(image).decode()
        yield "figure", dg.MetadataValue.md(f"![{node.name}](data:image/png;base64,{encoded})")


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
