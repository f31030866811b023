"""Rebuilding by itself what is out of date: Dagster's declarative automation asks the store, as `seam run` does."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from ..store import Store
from ._node import Node, Partition
from ._partitions import partitions_of
from ._pools import expensive
from ._stale import Records, input_versions, why_stale
from ._study import Study

SENSOR = "automation"
OFTEN = 10
"""Seconds between two looks at the store."""


def automatic(study: Study, store: Store) -> dict[str, frozenset[Partition]]:
    """Per asset the partitions to be rebuilt now by themselves: stale, allowed, and with nothing to rebuild above them.

    What was begun with the same settings and inputs and has not ended well is left to people: it would only fail, or
    be stopped, again.
    """
    level = study.experiment.compute.automation
    if level == "off":
        return {}
    store.refresh()
    records = Records(store)
    moving: set[tuple[str, Partition]] = set()
    found: dict[str, frozenset[Partition]] = {}
    for node in study.order:
        allowed = level == "all" or not expensive(study, node)
        now: set[Partition] = set()
        for partition in study.wanted(node):
            if any((dep, u) in moving for dep in node.deps for u in study.upstream(node, partition, dep)):
                moving.add((node.name, partition))
            elif allowed and _stale(study, records, node, partition):
                moving.add((node.name, partition))
                now.add(partition)
        found[node.name] = frozenset(p for p in now if not _tried(study, store, records, node, p))
    return found


def _stale(study: Study, records: Records, node: Node, partition: Partition) -> bool:
    record = records.record(node.name, partition.key)
    why = why_stale(study, records, node, partition)
    return why is not None and not (record is not None and record.failed_checks and why.startswith("refused"))


def _tried(study: Study, store: Store, records: Records, node: Node, partition: Partition) -> bool:
    versions = input_versions(study, records, node, partition)
    assert versions is not None
    return store.unfinished(node.name, partition.key) == study.recipe(node, partition, versions)


@dataclass
class Watcher:
    """What is to be rebuilt, worked out once for all assets of a tick."""

    reread: Callable[[], Study]
    """The study as its experiment file says now."""
    store: Store
    _tick: Any = field(default=None, init=False)
    _found: dict[str, frozenset[Partition]] = field(default_factory=dict, init=False)
    _study: Study | None = field(default=None, init=False)

    def at(self, tick: Any) -> tuple[Study, dict[str, frozenset[Partition]]]:
        """The study and what to rebuild; `tick` tells one look at the store from the next."""
        if self._study is None or tick != self._tick:
            self._study = self.reread()
            self._tick, self._found = tick, automatic(self._study, self.store)
        return self._study, self._found


class OutOfDate(dg.AutomationCondition):
    """True for the partitions that the store calls stale; files outside must have stayed the same for one tick."""

    def __init__(self, node: Node, watcher: Watcher) -> None:
        self.node, self.watcher = node, watcher

    @property
    def name(self) -> str:
        """As the UI shows it."""
        return "out_of_date"

    @property
    def description(self) -> str:
        """As the UI shows it."""
        return "Its code version, settings or inputs' content are not those it was made with, or it is missing"

    def evaluate(self, context: dg.AutomationContext) -> dg.AutomationResult:
        """The tick's stale partitions of this asset."""
        study, found = self.watcher.at(context.evaluation_time)
        node = study.nodes[self.node.name]
        outside = node.external(study.experiment) if node.external else None
        stale = found.get(node.name, frozenset())
        if not stale or (outside is not None and context.cursor != outside):
            return dg.AutomationResult(context, context.get_empty_subset(), cursor=outside)
        view, axis = context.asset_graph_view, partitions_of(study.experiment, node.axis)
        # what has been made since the tick's look is no longer in progress either
        stale = frozenset(p for p in stale if why_stale(study, self.watcher.store, node, p))
        if axis is None:
            subset = context.candidate_subset if stale else context.get_empty_subset()
        else:
            keys = {str(partition.key) for partition in stale}
            asked = view.get_subset_from_partition_keys(context.key, axis, keys)
            subset = asked.compute_intersection(context.candidate_subset)
        return dg.AutomationResult(context, subset, cursor=outside)


def condition_of(node: Node, watcher: Watcher) -> dg.AutomationCondition:
    """Rebuild what is out of date, unless a run is at it: Dagster is asked first, then the store."""
    return ~dg.AutomationCondition.in_progress() & OutOfDate(node, watcher)


def automation_sensor(study: Study) -> dg.AutomationConditionSensorDefinition | None:
    """Looks at the store every few seconds; none with `automation: off`."""
    if study.experiment.compute.automation == "off":
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # conditions of one's own need use_user_code_server
        return dg.AutomationConditionSensorDefinition(
            SENSOR,
            target=dg.AssetSelection.all(),
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=OFTEN,
            emit_backfills=False,
            use_user_code_server=True,
            description="Rebuilds what is out of date, as compute.automation allows.",
        )
