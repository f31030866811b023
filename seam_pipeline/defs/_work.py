"""What an update has left to do, and which of it can start now."""

import math
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from ._choice import Chosen, Pair, inputs, parts
from ._node import Node, Partition
from ._pools import spends
from ._stale import Records, Task, current_record, input_versions, label_of, why_make
from ._study import Study

SHORT = 5.0
"""Expected seconds of artifacts that share a Dagster run where several run at once: longer ones would keep others
waiting, shorter ones cost Dagster more than themselves."""


class Work:
    """Each chosen artifact is looked at once, after all chosen artifacts that it reads have been decided.

    Decided is what has been made, has failed, is current, or cannot be made. So the outcome does not depend on how
    many are made at once. Each record is read once, and again after its artifact has been made.
    """

    def __init__(
        self,
        study: Study,
        records: Records,
        chosen: Chosen,
        anew: bool = False,
        at_once: int = 1,
        expected: Mapping[str, float] | None = None,
    ) -> None:
        """`expected`: seconds by label; with several at once, what the longest way depends on is made first."""
        self.study, self.records, self.chosen, self.anew = study, records, chosen, anew
        self.expected = expected or {}
        self.limit = math.inf if at_once == 1 else SHORT
        pairs = [(node.name, p) for node in study.order for p in parts(study, chosen, node)]
        self.open = set(pairs)
        """Not decided."""
        self.above = {pair: self.open.intersection(inputs(study, *pair)) for pair in pairs}
        self.below: dict[Pair, list[Pair]] = {pair: [] for pair in pairs}
        for pair in pairs:
            for upstream in self.above[pair]:
                self.below[upstream].append(pair)
        self.turn = self._turns(pairs, at_once)
        self.ready: dict[Pair, Task] = {}
        self.running: set[Pair] = set()
        self._spared: list[str] = []
        self._spends = cache(lambda name: spends(study, study.nodes[name]))
        self._look(pairs)

    def next_batch(self) -> list[Task]:
        """Artifacts of one partition for one Dagster run: the first in turn, with what can be made beside and after it.

        Empty where nothing can start before something ends. Of steps that ask a paid model one runs at a time.
        """
        able = [pair for pair in self.ready if not self._must_wait(pair)]
        if not able:
            return []
        first = min(able, key=self.turn.__getitem__)
        batch = {first: self.ready[first]}
        seconds = self._seconds(first)
        for node in self.study.order:
            pair = (node.name, first[1])
            if pair in batch or pair in self.running or pair not in self.open or self._must_wait(pair):
                continue
            task = self.ready.get(pair) or self._missing(pair, batch)
            if task and seconds + self._seconds(pair) <= self.limit:
                batch[pair] = task
                seconds += self._seconds(pair)
        self.running.update(batch)
        for pair in batch:
            self.ready.pop(pair, None)
        return list(batch.values())

    def ended(self, batch: list[Task], decided: Iterable[str]) -> None:
        """A batch has ended; what it did not come to (not `decided`, by label) gets another turn, except its first."""
        known = {*decided, batch[0].label}
        pairs = [(task.node.name, task.partition) for task in batch]
        for name, partition in pairs:
            self.records.forget(name, partition.key)
        self.running.difference_update(pairs)
        self.open.difference_update(pair for pair, task in zip(pairs, batch, strict=True) if task.label in known)
        self._look([*pairs, *(b for pair in pairs for b in self.below[pair])])

    def spared(self) -> list[str]:
        """Labels decided without being made, since the last call."""
        found, self._spared = self._spared, []
        return found

    def is_current(self, task: Task) -> bool:
        """Whether the artifact is there, as it should be."""
        return current_record(self.study, self.records, task.node, task.partition) is not None

    def blocked(self, failed: Mapping[str, str]) -> dict[str, str]:
        """Chosen artifacts that are still missing, with what each waits for."""
        found: dict[str, str] = {}
        for node in self.study.order:
            for partition in parts(self.study, self.chosen, node):
                label = label_of(node.name, partition)
                if label not in failed and self.records.record(node.name, partition.key) is None:
                    found[label] = next(self._absent(node, partition), "a run that ended early")
        return found

    def _look(self, pairs: list[Pair]) -> None:
        """Decide what needs no work, and what follows from that; the rest becomes ready."""
        pending = list(reversed(pairs))
        while pending:
            pair = pending.pop()
            if (
                pair not in self.open
                or pair in self.running
                or pair in self.ready
                or not self.above[pair].isdisjoint(self.open)
            ):
                continue
            node = self.study.nodes[pair[0]]
            if why := self._why(node, pair[1]):
                self.ready[pair] = Task(node, pair[1], why)
            else:
                self.open.discard(pair)
                self._spared.append(label_of(*pair))
                pending += reversed(self.below[pair])

    def _why(self, node: Node, partition: Partition) -> str | None:
        why = why_make(self.study, self.records, node, partition)
        if why or not self.anew or input_versions(self.study, self.records, node, partition) is None:
            return why
        return "asked for"

    def _missing(self, pair: Pair, batch: Mapping[Pair, Task]) -> Task | None:
        """What doesn't exist and needs only this batch and what is there has to be made, whatever comes out above."""
        name, partition = pair
        if self.records.record(name, partition.key) is not None:
            return None
        rest = [above for above in inputs(self.study, name, partition) if above not in batch]
        if not self.open.isdisjoint(rest) or not all(self._usable(*above) for above in rest):
            return None
        return Task(self.study.nodes[name], partition, "missing")

    def _usable(self, name: str, partition: Partition) -> bool:
        record = self.records.record(name, partition.key)
        return record is not None and not record.failed_checks

    def _must_wait(self, pair: Pair) -> bool:
        return self._spends(pair[0]) and any(self._spends(name) for name, _ in self.running)

    def _turns(self, pairs: list[Pair], at_once: int) -> dict[Pair, tuple[float, int]]:
        """The study's order; with several at once, the longest expected way to the end first."""
        way = dict.fromkeys(pairs, 0.0)
        if at_once > 1:
            for pair in reversed(pairs):
                way[pair] = self._seconds(pair) + max((way[b] for b in self.below[pair]), default=0.0)
        return {pair: (-way[pair], place) for place, pair in enumerate(pairs)}

    def _seconds(self, pair: Pair) -> float:
        return self.expected.get(label_of(*pair), 0.0)

    def _absent(self, node: Node, partition: Partition) -> Iterator[str]:
        for name, upstream in inputs(self.study, node.name, partition):
            if not self._usable(name, upstream):
                yield label_of(name, upstream)
