"""Which artifacts are out of date, read from the records in the store."""

from dataclasses import dataclass
from typing import Protocol

from ..llm.usage import ASK_AGAIN
from ..store import Record
from ._choice import Chosen, parts
from ._node import Node, Partition
from ._study import Study


class Reads(Protocol):
    """Where records come from: the store, or what has been read of it."""

    def record(self, asset: str, partition: str | None = None) -> Record | None:
        """The artifact's record, or None."""


class Records:
    """The store's records, each read once until it is forgotten."""

    def __init__(self, store: Reads) -> None:
        self.store = store
        self._known: dict[tuple[str, str | None], Record | None] = {}

    def record(self, asset: str, partition: str | None = None) -> Record | None:
        """As `Store.record`."""
        key = (asset, partition)
        if key not in self._known:
            self._known[key] = self.store.record(asset, partition)
        return self._known[key]

    def forget(self, asset: str, partition: str | None) -> None:
        """The artifact has been made since."""
        self._known.pop((asset, partition), None)


@dataclass(frozen=True)
class Task:
    """One artifact that has to be made, and why."""

    node: Node
    partition: Partition
    why: str

    @property
    def label(self) -> str:
        """`asset` or `asset [pm01|rm02]`."""
        return label_of(self.node.name, self.partition)


def label_of(name: str, partition: Partition) -> str:
    """`asset` or `asset [pm01|rm02]`."""
    return name if partition.key is None else f"{name} [{partition.key}]"


def input_versions(study: Study, store: Reads, node: Node, partition: Partition) -> dict[str, str] | None:
    """Data version of each upstream artifact by `asset` or `asset|partition`; None while one is missing or refused."""
    versions: dict[str, str] = {}
    for dep in node.deps:
        for upstream in study.upstream(node, partition, dep):
            record = store.record(dep, upstream.key)
            if record is None or record.failed_checks:
                return None
            versions[dep if upstream.key is None else f"{dep}|{upstream.key}"] = record.data_version
    return versions


def why_stale(study: Study, store: Reads, node: Node, partition: Partition) -> str | None:
    """Why the artifact must be made now, or None when it is current or cannot be made yet."""
    versions = input_versions(study, store, node, partition)
    if versions is None:
        return None
    record = store.record(node.name, partition.key)
    if record is None:
        return "missing"
    if record.recipe != study.recipe(node, partition, versions):
        return _difference(record, versions)
    return "refused by " + ", ".join(record.failed_checks) if record.failed_checks else None


def why_make(study: Study, store: Reads, node: Node, partition: Partition) -> str | None:
    """As `why_stale`, and where a paid model failed on rows for a reason that can pass: these are asked again."""
    why = why_stale(study, store, node, partition)
    if why or input_versions(study, store, node, partition) is None:
        return why
    record = store.record(node.name, partition.key)
    rows = record.notes.get(ASK_AGAIN) if record else None
    return f"{rows} rows to ask again" if rows else None


def current_record(study: Study, store: Reads, node: Node, partition: Partition) -> Record | None:
    """The artifact's record where making it again would give the same."""
    record = store.record(node.name, partition.key)
    if record is None or record.failed_checks or input_versions(study, store, node, partition) is None:
        return None
    return None if why_stale(study, store, node, partition) else record


def _difference(record: Record, versions: dict[str, str]) -> str:
    changed = [name for name, version in versions.items() if record.inputs.get(name) != version]
    changed += [name for name in record.inputs if name not in versions]
    return (
        "changed: " + ", ".join(changed[:3]) + (" ..." if len(changed) > 3 else "") if changed else "settings or code"
    )


def stale_tasks(study: Study, store: Reads, chosen: Chosen, anew: bool = False) -> list[Task]:
    """What would run, in order: stale artifacts (`anew`: all) and everything below them."""
    records = Records(store)
    tasks: list[Task] = []
    running: set[tuple[str, Partition]] = set()
    for node in study.order:
        for partition in parts(study, chosen, node):
            above = [
                label_of(dep, u)
                for dep in node.deps
                for u in study.upstream(node, partition, dep)
                if (dep, u) in running
            ]
            why = why_make(study, records, node, partition) or (f"after {above[0]}" if above else None)
            if why is None and records.record(node.name, partition.key) is None:
                why = "missing"
            if why is None and anew:
                why = "asked for"
            if why:
                tasks.append(Task(node, partition, why))
                running.add((node.name, partition))
    return tasks
