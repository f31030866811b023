"""Speeds from the records of a store: what was computed, over the seconds that it took."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..defs._node import Node, Partition
from ..defs._stale import Reads
from ..defs._study import Study
from ..store import Record
from ._cost import cost_of
from ._rates import UNITS, Rate
from ._size import DataSize, ModelSize
from ._work import Cost

WORK = {
    "pretrain": ("base_model",),
    "train": ("policy_model", "reward_model", "dpo_policy"),
    "score": ("candidate_likelihoods_", "candidate_rewards_", "sample_rewards", "pair_", "base_pair_", "base_perpl"),
    "generate": ("policy_samples",),
    "rl": ("rlhf_policy_",),
    "attack": ("adversarial_candidates",),
    "embed": ("contrast_candidates",),
    "llm": ("llm_candidates",),
}
"""Assets, by the beginning of their names, that do one kind of work alone."""
NOTES = {"score": "tokens_computed", "attack": "reward_queries", "llm": "llm_requests"}
"""What records count themselves; elsewhere the amount is the plan's own estimate."""
BRIEF = 0.05
"""Seconds: below this a record tells nothing of speed."""


@dataclass
class _Sum:
    amount: float = 0.0
    seconds: float = 0.0
    artifacts: int = 0


def measured_rates(study: Study, store: Reads, data: DataSize, size: ModelSize) -> dict[str, Rate]:
    """By kind, over all artifacts of the study's own base; `rl` without what was trained elsewhere."""
    sums: dict[str, _Sum] = {}
    for node in study.order:
        kind = kind_of(node.name)
        if kind is None or node.follows is not None:
            continue
        for partition, record in _made(study, store, node):
            amount = _amount(kind, record, cost_at(study, node, partition, data, size))
            if amount and record.seconds >= BRIEF:
                total = sums.setdefault(kind, _Sum())
                total.amount, total.seconds = total.amount + amount, total.seconds + record.seconds
                total.artifacts += 1
    return {kind: _rate(kind, total) for kind, total in sums.items()}


def kind_of(name: str) -> str | None:
    """The one kind of work that an asset does, or None."""
    if name.endswith("_by_policy"):
        return None
    return next((kind for kind, prefixes in WORK.items() if name.startswith(prefixes)), None)


def cost_at(study: Study, node: Node, partition: Partition, data: DataSize, size: ModelSize) -> Cost:
    """Cost of an artifact, by the rules of the experiment that it follows."""
    pm, rm = partition.pm or 1, partition.rm or 1
    e = node.follows or study.experiment
    return cost_of(node.name, e, data, size, pm, rm, len(node.seeds.get((pm, rm), ())))


def _made(study: Study, store: Reads, node: Node) -> Iterable[tuple[Partition, Record]]:
    for partition in study.wanted(node):
        record = store.record(node.name, partition.key)
        if record is not None and not record.failed_checks:
            yield partition, record


def _amount(kind: str, record: Record, cost: Cost) -> float:
    note = record.notes.get(NOTES.get(kind, ""))
    if isinstance(note, int | float):
        return float(note)
    estimates = {
        "pretrain": cost.pretrained,
        "train": cost.trained,
        "score": cost.scored,
        "generate": cost.written,
        "rl": cost.rl_steps,
        "embed": cost.embedded,
    }
    return estimates.get(kind, 0.0)


def _rate(kind: str, total: _Sum) -> Rate:
    counted = "" if kind in NOTES else "about "
    words = (
        f"{counted}{total.amount:,.0f} {UNITS.get(kind, 'tokens')} of {total.artifacts} artifacts "
        f"in {total.seconds:,.0f} s, their starts included"
    )
    return Rate(total.amount / total.seconds, "measured", words)
