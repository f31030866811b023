"""Making one artifact: load its inputs, compute, check, write."""

import time
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ..experiment import Compute, Experiment
from ..llm.usage import ASK_AGAIN
from ..progress import Progress
from ..store import Record, Store, write_payload
from ._node import Inputs, Launch, Node, Partition, Show, Step, unseen
from ._stale import Records, current_record, input_versions, why_make
from ._study import Study


@dataclass(frozen=True)
class Made:
    """An artifact that has been written."""

    record: Record
    value: Any
    problems: dict[str, str | None]
    """Per check what is wrong, or None."""


def current(study: Study, store: Store, node: Node, partition: Partition) -> Made | None:
    """The artifact as it is, where making it again would give the same; None where it must be made."""
    records = Records(store)
    record = current_record(study, records, node, partition)
    if record is None or why_make(study, records, node, partition):
        return None
    problems: dict[str, str | None] = {"schema": None} if node.schema else {}
    problems |= {check.name: None for check in node.checks}
    return Made(record, store.load(node.name, partition.key), problems)


def make(
    study: Study,
    store: Store,
    node: Node,
    partition: Partition,
    report: Progress,
    launch: Launch | None = None,
    show: Show = unseen,
    anew: bool = False,
) -> Made:
    """Compute one artifact and put it in the store; `anew` takes nothing over from the one that stands.

    Raises SeamError for a missing or refused input.
    """
    versions = input_versions(study, store, node, partition)
    if versions is None:
        load_inputs(study, store, node, partition)  # says which
    assert versions is not None
    recipe = study.recipe(node, partition, versions)
    out = store.stage(node.name, partition.key, recipe)
    inputs = load_inputs(study, store, node, partition)
    device = prepare_compute(study.experiment) if node.heavy else "cpu"
    started = time.monotonic()
    cache = store.root / "cache"
    before = None if anew else _to_ask_again(store, node, partition, recipe)
    step = Step(study.experiment, partition, out, cache, report, device, {}, node.name, launch, show, before)
    value = node.compute(step, inputs)
    kind = write_payload(out, value)
    problems = _problems(node, value[node.main] if node.main else value, inputs)
    record = Record(
        asset=node.name,
        partition=partition.key,
        experiment=study.experiment.name,
        kind=kind,
        data_version=store.hash_staged(node.name, partition.key),
        recipe=recipe,
        inputs=versions,
        failed_checks=tuple(name for name, problem in problems.items() if problem),
        seconds=round(time.monotonic() - started, 3),
        notes=step.notes,
    )
    final = store.commit(record)
    return Made(record, final if kind == "folder" else value, problems)


def _to_ask_again(store: Store, node: Node, partition: Partition, recipe: str) -> Any:
    """The artifact, where it is of this recipe but for rows that a paid model failed on; else None."""
    record = store.record(node.name, partition.key)
    if record is None or record.failed_checks or record.recipe != recipe or not record.notes.get(ASK_AGAIN):
        return None
    return store.load(node.name, partition.key)


def load_inputs(study: Study, store: Store, node: Node, partition: Partition) -> Inputs:
    """Values of a node's dependencies; a dict by Partition where it fans in."""
    inputs: Inputs = {}
    for dep in node.deps:
        upstream = study.upstream(node, partition, dep)
        if study.is_fan_in(node, dep):
            inputs[dep] = {u: store.load(dep, u.key) for u in upstream}
        else:
            inputs[dep] = store.load(dep, upstream[0].key)
    return inputs


def prepare_compute(experiment: Experiment) -> str:
    """Set torch's threads and name the device. Raises SeamError for a device that is not there."""
    import torch

    from ..models.device import find_device

    torch.set_num_threads(threads_of(experiment.compute, experiment.compute.device))
    return find_device(experiment.compute.device, "compute.device:")


def threads_of(compute: Compute, device: str, launched: bool = False) -> int:
    """Torch threads per process: as set, else the cores divided by the processes that are at work at once.

    Of the experiment and the machine alone, never of how many steps Dagster really runs: sums in another order are
    other bytes.
    """
    from ._launch import cores, processes_of

    processes = processes_of(compute, device) if launched else 1
    return compute.threads or max(1, cores() // (processes * compute.concurrent_steps))


def _problems(node: Node, value: Any, inputs: Inputs) -> dict[str, str | None]:
    problems: dict[str, str | None] = {}
    if node.schema is not None:
        problems["schema"] = _schema_problem(node.schema, value)
    return problems | {check.name: check.problem(value, inputs) for check in node.checks}


def _schema_problem(schema: pa.Schema, table: pa.Table) -> str | None:
    if table.schema.names != schema.names or table.schema.types != schema.types:
        types = [str(t) for t in table.schema.types]
        return f"columns {table.schema.names} with types {types} are not the documented ones"
    nulls = [f.name for f in schema if not f.nullable and table[f.name].null_count]
    return f"null in {', '.join(nulls)}" if nulls else None
