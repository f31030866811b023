"""What one artifact would take."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..defs._node import Node, Partition
from ..defs._stale import Records
from ..defs._study import Study
from ..experiment import Compute, Experiment, LLMEndpoint, Throughput
from ..store import Store
from ._measured import cost_at, measured_rates
from ._rates import SCALED, Rates, amounts, assumed_rates, attack_rate, device_seconds, given_rates, llm_seconds
from ._size import ModelSize, data_size, model_size
from ._work import Cost

FIXED_SECONDS = 0.3
"""Dagster's part of an artifact (benchmarks/results/grid.md)."""
TRAININGS = ("policy_model", "reward_model", "policy_replicas", "reward_replicas", "dpo_policy", "rlhf_policy_")
"""What several processes share."""


@dataclass(frozen=True)
class Estimate:
    """What one artifact, or several, would take."""

    cost: Cost = field(default_factory=Cost)
    seconds: float = 0.0
    """One after the other."""
    device_seconds: float = 0.0
    """Times the processes that share the work; waiting for an LLM is not in it."""
    batches: int = 0
    """Of an LLM's batch mode; each may take a day that `seconds` does not hold."""
    again: int = 0
    """Artifacts that were made before: they are expected to take as long again."""

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(
            self.cost + other.cost,
            self.seconds + other.seconds,
            self.device_seconds + other.device_seconds,
            self.batches + other.batches,
            self.again + other.again,
        )


class Planner:
    """Speeds and sizes of one study, to estimate its artifacts with."""

    def __init__(
        self, study: Study, store: Store, given: Sequence[Throughput] = (), where: str = "", tflops: float | None = None
    ) -> None:
        self.study, self.records, self.tflops = study, Records(store), tflops
        self.given, self.where = (
            (given, where) if given else (study.experiment.compute.throughput, "compute.throughput")
        )
        self.size = model_size(study.experiment.base)
        self.data = data_size(study.experiment, store)
        self.measured = measured_rates(study, self.records, self.data, self.size) if self.size else {}
        self.rates = self._rates(self.size)
        self._known: dict[str, tuple[float, float]] = {}

    def _rates(self, size: ModelSize | None) -> Rates:
        if size is None or self.size is None:
            return {}
        e, scale = self.study.experiment, self.size.parameters / size.parameters
        assumed = assumed_rates(e, size, self.data, self.tflops)
        measured = {
            kind: replace(rate, per_second=rate.per_second * scale) if kind in SCALED else rate
            for kind, rate in self.measured.items()
            if not (self.tflops and kind in ("pretrain", "train", "score", "attack", "rl"))
        }
        given = given_rates(self.given, size, self.where)
        if "train" in given:
            train = given["train"]
            given["pretrain"] = replace(train, per_second=train.per_second * 4 / 6)
        if "rl" not in given and {"train", "score", "generate"} & set(given):
            measured.pop("rl", None)
        found = {**assumed, **measured, **given}
        return {"attack": attack_rate(found["score"], self.data), **found}

    def estimate(self, node: Node, partition: Partition) -> Estimate:
        """One artifact: as long as last time, unless a speed of its work was given; else from its work and speeds."""
        size = model_size(node.follows.base) if node.follows else self.size
        if size is None:
            return self._without_size(node, partition)
        rates = self.rates if node.follows is None else self._rates(size)
        cost = cost_at(self.study, node, partition, self.data, size)
        e = node.follows or self.study.experiment
        endpoint, processes = endpoint_of(node.name, e), processes_of(node.name, e.compute)
        batches = int(bool(cost.llm_calls and endpoint and endpoint.mode == "batch"))
        record = self.records.record(node.name, partition.key)
        if record is not None and not _is_given(cost, rates):
            device = record.seconds * processes if node.heavy else 0.0
            return Estimate(cost, record.seconds + FIXED_SECONDS, device, batches, 1)
        working, waiting = device_seconds(cost, rates), llm_seconds(cost, rates, endpoint)
        if not _is_given(cost, rates):
            factor, mean = self._siblings(node, size, rates)
            working, waiting = (working * factor, waiting * factor) if working + waiting else (mean, 0.0)
        wall = working / processes + waiting + FIXED_SECONDS
        return Estimate(cost, wall, working if node.heavy else 0.0, batches)

    def _without_size(self, node: Node, partition: Partition) -> Estimate:
        record = self.records.record(node.name, partition.key)
        seconds = record.seconds if record else 0.0
        return Estimate(Cost(), seconds + FIXED_SECONDS, seconds if node.heavy else 0.0, 0, int(record is not None))

    def _siblings(self, node: Node, size: ModelSize, rates: Rates) -> tuple[float, float]:
        """(how many times longer the asset's artifacts took than their speeds say, their mean time)."""
        if node.name not in self._known:
            endpoint = endpoint_of(node.name, node.follows or self.study.experiment)
            took = expected = n = 0.0
            for partition in self.study.wanted(node):
                record = self.records.record(node.name, partition.key)
                if record is not None:
                    cost = cost_at(self.study, node, partition, self.data, size)
                    expected += device_seconds(cost, rates) + llm_seconds(cost, rates, endpoint)
                    took, n = took + record.seconds, n + 1
            self._known[node.name] = (took / expected if took and expected else 1.0, took / n if n else 0.0)
        return self._known[node.name]


def _is_given(cost: Cost, rates: Rates) -> bool:
    """Whether the user gave the speed of a part of this work."""
    kinds = [kind for kind, amount in amounts(cost, rates).items() if amount] if rates else []
    return any(rates[kind].source == "given" for kind in kinds)


def endpoint_of(name: str, e: Experiment) -> LLMEndpoint | None:
    """Who is asked by an asset: the writer of candidates, else the judge."""
    if name.startswith("llm_candidates"):
        return e.candidates.llm.endpoint if e.candidates.llm else None
    return e.judge.endpoint


def processes_of(name: str, compute: Compute) -> int:
    """Processes that share an asset's work; those of all visible GPUs are not known here and count as one."""
    shared = compute.launcher == "accelerate" and name.startswith(TRAININGS)
    return (compute.processes or 1) if shared else 1
