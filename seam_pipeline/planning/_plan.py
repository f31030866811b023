"""What a list of tasks would take, per stage and in all."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import get_args

from ..defs._node import Node
from ..defs._stale import Task
from ..experiment import AugmentationMethod, Experiment, LLMEndpoint, Method, Variant
from ._estimate import Estimate, Planner, endpoint_of
from ._rates import Rate, Rates, amounts
from ._size import DataSize, ModelSize, model_size

_RATE = re.compile(r"_\d+$")


@dataclass(frozen=True)
class Row:
    """A line of the plan."""

    name: str
    group: str
    artifacts: int
    why: str
    """Of the first artifact."""
    estimate: Estimate


@dataclass(frozen=True)
class Asked:
    """What one endpoint would be asked."""

    who: str
    endpoint: LLMEndpoint
    calls: float = 0.0
    prompt_tokens: float = 0.0
    reply_tokens: float = 0.0

    @property
    def dollars(self) -> float | None:
        """None where a price is not given."""
        return self.endpoint.dollars(self.prompt_tokens, self.reply_tokens)


@dataclass(frozen=True)
class Plan:
    """All that `seam plan` says."""

    experiment: Experiment
    assets: int
    artifacts: int
    """Of the whole study."""
    rows: tuple[Row, ...]
    total: Estimate
    rates: Rates
    size: ModelSize | None
    data: DataSize
    asked: tuple[Asked, ...]
    groups: Mapping[str, Estimate] = field(default_factory=dict)
    merged_bytes: float = 0.0
    """What a merged copy of every model would take on disk."""


def make_plan(planner: Planner, tasks: Sequence[Task], by: str = "stage") -> Plan:
    """A line per `group`, `stage`, `asset` or `artifact`, and totals."""
    study, e = planner.study, planner.study.experiment
    estimates = [(task, planner.estimate(task.node, task.partition)) for task in tasks]
    rows: dict[str, list[tuple[Task, Estimate]]] = {}
    groups: dict[str, Estimate] = {}
    for task, estimate in estimates:
        rows.setdefault(_title(task, by, e), []).append((task, estimate))
        groups[task.node.group] = groups.get(task.node.group, Estimate()) + estimate
    found = tuple(_row(name, members) for name, members in rows.items())
    merged = sum(estimate.cost.models * _merged(task.node, e) for task, estimate in estimates)
    return Plan(
        experiment=e,
        assets=len(study.nodes),
        artifacts=sum(len(study.wanted(node)) for node in study.order),
        rows=tuple(sorted(found, key=lambda row: row.group)),
        total=sum((estimate for _, estimate in estimates), Estimate()),
        rates=planner.rates,
        size=planner.size,
        data=planner.data,
        asked=_asked(e, estimates),
        groups=dict(sorted(groups.items())),
        merged_bytes=merged,
    )


def _title(task: Task, by: str, e: Experiment) -> str:
    name = task.node.name
    if by != "stage":
        return {"group": task.node.group, "asset": name, "artifact": task.label}[by]
    if name.endswith("_by_policy"):
        return "*_by_policy"
    if task.node.group == "8_findings" and task.node.axis == "one":
        return "findings"
    return _stage(name, e)


def _stage(name: str, e: Experiment) -> str:
    """Assets that differ by variant, method, filter rate or base alone are one stage."""
    bases = e.findings.base_sizes.bases if e.findings.base_sizes else ()
    different = {*get_args(Variant), *get_args(Method), *get_args(AugmentationMethod), *bases}
    bare = _RATE.sub("", name)
    ends = [f"_{word}" for word in different if bare.endswith(f"_{word}")]
    return f"{bare.removesuffix(max(ends, key=len))}_*" if ends else name


def _row(name: str, members: Sequence[tuple[Task, Estimate]]) -> Row:
    first = members[0][0]
    total = sum((estimate for _, estimate in members), Estimate())
    return Row(name, first.node.group, len(members), first.why, total)


def _merged(node: Node, e: Experiment) -> float:
    base = (node.follows or e).base
    size = model_size(base)
    return size.parameters * (4 if base.dtype == "float32" else 2) if size else 0.0


def _asked(e: Experiment, estimates: Iterable[tuple[Task, Estimate]]) -> tuple[Asked, ...]:
    found: dict[str, Asked] = {}
    for task, estimate in estimates:
        endpoint, cost = endpoint_of(task.node.name, task.node.follows or e), estimate.cost
        if not cost.llm_calls or endpoint is None:
            continue
        who = "candidates" if task.node.name.startswith("llm_candidates") else "judge"
        so_far = found.get(who, Asked(who, endpoint))
        found[who] = replace(
            so_far,
            calls=so_far.calls + cost.llm_calls,
            prompt_tokens=so_far.prompt_tokens + cost.llm_input,
            reply_tokens=so_far.reply_tokens + cost.llm_output,
        )
    return tuple(found.values())


def sources_of(plan: Plan) -> Mapping[str, Rate]:
    """The speeds that the plan's work uses."""
    used = {kind for row in plan.rows for kind, amount in amounts(row.estimate.cost, plan.rates).items() if amount}
    return {kind: rate for kind, rate in plan.rates.items() if kind in used or (kind == "llm" and plan.asked)}
