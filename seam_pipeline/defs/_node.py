"""A node of the study's graph: one asset, before it becomes Dagster's."""

import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from ..experiment import Cell, Experiment, TestbedData
from ..progress import Progress

if TYPE_CHECKING:
    from ..judging import Judge
    from ..llm.usage import Usage
    from ..testbed import World
    from ..training.watch import Watch
    from ._job import Job, Surroundings

Launch = Callable[["Job", "Surroundings", Progress, "Watch"], None]
"""Runs a job in processes of its own until it is done; raises SeamError."""
Show = Callable[[str, str], AbstractContextManager["Watch"]]
"""Given a training's kind and part: where it shows its metrics while it runs."""

Axis = Literal["one", "pm", "rm", "grid"]


@contextmanager
def unseen(_kind: str, _part: str) -> Iterator["Watch"]:
    """Shows a training's metrics nowhere."""
    yield lambda row: None


@dataclass(frozen=True)
class Partition:
    """Where on the grid an artifact stands; None off an axis."""

    pm: int | None = None
    rm: int | None = None

    @property
    def key(self) -> str | None:
        """Dagster's key: `pm01`, `rm02`, `pm01|rm02`, or None."""
        names = [f"{axis}{rank:02d}" for axis, rank in (("pm", self.pm), ("rm", self.rm)) if rank is not None]
        return "|".join(names) or None

    @property
    def cell(self) -> Cell:
        """(policy rank, reward rank) of a partition on the grid."""
        assert self.pm is not None
        assert self.rm is not None
        return self.pm, self.rm

    @staticmethod
    def parse(key: str | None) -> "Partition":
        """Inverse of `key`."""
        ranks = {part[:2]: int(part[2:]) for part in key.split("|")} if key else {}
        return Partition(pm=ranks.get("pm"), rm=ranks.get("rm"))


@dataclass(frozen=True)
class Step:
    """What a node's function is given besides its inputs."""

    experiment: Experiment
    partition: Partition
    out: Path
    """Staged folder; what a killed run of the same recipe left is still there."""
    cache: Path
    """Row caches (LLM replies, embeddings), shared by the artifacts of one store."""
    report: Progress
    device: str
    notes: dict[str, Any] = field(default_factory=dict)
    """How it went (tokens computed, cost): kept in the record, not part of the content."""

    asset: str = ""

    launch: "Launch | None" = None
    """Starts trainings in processes of their own; None: they run in this one."""

    show: "Show" = field(default_factory=lambda: unseen)

    before: Any = None
    """The artifact that stands, where a paid model's failed rows alone are asked again; else None."""

    def train(self, job: "Job", report: Progress | None = None) -> None:
        """Run one of the step's trainings where the experiment's `compute.launcher` says. Raises SeamError."""
        from ._job import run_job

        if self.launch is not None and job.n != 0:  # rank 0 trains nothing
            with self.show(job.kind, job.part) as shown:
                self.launch(job, self._surroundings(job.part), report or self.report, shown)
            return
        with self.watch(job.kind, job.part) as watch:
            run_job(job, self.device, report or self.report, watch)

    def _surroundings(self, part: str) -> "Surroundings":
        from ._job import Surroundings
        from ._run import threads_of

        compute = self.experiment.compute
        return Surroundings(
            device=self.device,
            threads=threads_of(compute, self.device, launched=True),
            trackers=compute.trackers,
            project=self.experiment.name,
            run=self._run(part),
            tracker_folder=str(self._trackers),
            starter=(socket.gethostname(), os.getpid()),
        )

    def _run(self, part: str) -> str:
        names = [self.asset, *(self.partition.key or "").split("|"), part]
        return "/".join(name for name in names if name)

    @contextmanager
    def watch(self, kind: str, part: str = "") -> Iterator["Watch"]:
        """Where a training in this process sends its metrics: to `show` and the experiment's trackers."""
        from ..training.watch import watching

        trackers = watching(self.experiment.compute.trackers, self.experiment.name, self._run(part), self._trackers)
        with self.show(kind, part) as shown, trackers as tracked:

            def watch(row: Mapping[str, Any]) -> None:
                tracked(row)
                shown(row)

            yield watch

    @property
    def _trackers(self) -> Path:
        return self.cache.parent / "trackers"

    @cached_property
    def judge(self) -> "Judge":
        """The experiment's judge; what its requests did and cost is noted."""
        from ..judging import make_judge

        judge = self.experiment.judge
        rate = self.world.rate if judge.kind == "gold" else None
        return make_judge(judge, rate=rate, cache_path=self.replies, device=self.device, used=self.note_usage)

    @property
    def replies(self) -> Path:
        """The cache of language models' replies."""
        return self.cache / "llm.sqlite"

    def note_usage(self, usage: "Usage") -> None:
        """Keep what requests cost, and how many rows are asked again at the next run."""
        if usage.rows:
            self.notes.update(usage.notes())

    @property
    def world(self) -> "World":
        """The testbed's world; only on the testbed."""
        assert isinstance(self.experiment.data, TestbedData)
        return world_of(self.experiment.data)


def world_of(settings: TestbedData) -> "World":
    """The testbed's world; kept, since several steps of a process ask for the same one."""
    return _world(settings.model_dump_json())


@lru_cache(maxsize=2)
def _world(settings: str) -> "World":
    from ..testbed import World

    return World(TestbedData.model_validate_json(settings))


Inputs = dict[str, Any]
"""Per dependency its value, or, over a fan-in, a dict from Partition to value."""


@dataclass(frozen=True)
class Check:
    """A blocking check of a node's value: returns what is wrong, or None."""

    name: str
    description: str
    problem: Callable[[Any, Inputs], str | None]


def nothing(_experiment: Experiment, _partition: Partition) -> tuple[Any, ...]:
    """No setting decides this node's content."""
    return ()


@dataclass(frozen=True)
class Node:
    """One asset: its dependencies, its function and what decides its content."""

    name: str
    group: str
    description: str
    compute: Callable[[Step, Inputs], Any]
    axis: Axis = "one"
    deps: tuple[str, ...] = ()
    best: frozenset[str] = frozenset()
    """Dependencies of which only the partition of the best ranks is read."""
    settings: Callable[[Experiment, Partition], tuple[Any, ...]] = nothing
    version: str = "1"
    """Raised by hand when the code's result changes."""
    schema: pa.Schema | None = None
    main: str | None = None
    """Where the value is a dict of tables: the one that the schema and the checks are about."""
    checks: tuple[Check, ...] = ()
    cells: tuple[Cell, ...] | None = None
    """Cells that the study wants (on one axis: the ranks with such a cell); None is the whole axis."""
    seeds: Mapping[Cell, tuple[int, ...]] = field(default_factory=dict, hash=False)
    """Seeds of RL by cell, where the asset is one run per seed: what a plan counts."""
    external: Callable[[Experiment], str] | None = None
    """State outside the store that the node reads, e.g. the dumps' sizes and times."""
    figure: Callable[[Any], bytes | None] | None = None
    """PNG of a learning curve or a figure, for the UI."""
    heavy: bool = False
    """Trains or scores a model: runs in the compute pool."""
    follows: Experiment | None = None
    """The experiment of its settings where that is not the study's: the same on another base."""
    kinds: frozenset[str] = field(default_factory=frozenset)
