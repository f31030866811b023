"""Which artifacts are out of date, read from the records in the store."""

from dataclasses import dataclass

from ..store import Record, Store
from ._node import Node, Partition
from ._study import Study


@dataclass(frozen=True)
class Task:
    """One artifact that has to be made, and why."""

    node: Node
    partition: Partition
    why: str

    @property
    def label(self) -> str:
        """`asset` or `asset [pm01|rm02]`."""
        return self.node.name if self.partition.key is None else f"{self.node.name} [{self.partition.key}]"


def input_versions(study: Study, store: Store, node: Node, partition: Partition) -> dict[str, str] | None:
    """Data version of each upstream artifact by `asset` or `asset|partition`; None while one is missing or refused."""
    versions: dict[str, str] = {}
    for dep in node.deps:
        for upstream in study.upstream(node, partition, dep):
            record = store.record(dep, upstream.key)
            if record is None or record.failed_checks:
                return None
            versions[dep if upstream.key is None else f"{dep}|{upstream.key}"] = record.data_version
    return versions


def why_stale(study: Study, store: Store, node: Node, partition: Partition) -> str | None:
    """Why the artifact must be made now, or None when it is current or cannot be made yet."""
    versions = input_versions(study, store, node, partition)
    if versions is None:
        return None
    record = store.record(node.name, partition.key)
    if record is None:
        return "missing"
    if record.recipe == study.recipe(node, partition, versions):
        return "refused by " + ", ".join(record.failed_checks) if record.failed_checks else None
    return _difference(record, versions)


def _difference(record: Record, versions: dict[str, str]) -> str:
    changed = [name for name, version in versions.items() if record.inputs.get(name) != version]
    changed += [name for name in record.inputs if name not in versions]
    return (
        "changed: " + ", ".join(changed[:3]) + (" ..." if len(changed) > 3 else "") if changed else "settings or code"
    )


def stale_tasks(study: Study, store: Store, names: set[str]) -> list[Task]:
    """What would run, in order: stale artifacts and everything below them."""
    tasks: list[Task] = []
    running: set[tuple[str, str | None]] = set()
    for node in study.order:
        for partition in study.wanted(node):
            above = [
                f"{dep} [{u.key}]" if u.key else dep
                for dep in node.deps
                for u in study.upstream(node, partition, dep)
                if (dep, u.key) in running
            ]
            why = why_stale(study, store, node, partition) or (f"after {above[0]}" if above else None)
            if why is None and store.record(node.name, partition.key) is None:
                why = "missing"
            if why and node.name in names:
                tasks.append(Task(node, partition, why))
                running.add((node.name, partition.key))
    return tasks
