"""The plan for machines."""

from dataclasses import asdict
from typing import Any

from ._estimate import Estimate
from ._plan import Plan, sources_of


def plan_dict(plan: Plan) -> dict[str, Any]:
    """Plain numbers: seconds, tokens, bytes, dollars (null where a price is not given)."""
    return {
        "experiment": plan.experiment.name,
        "artifacts": plan.artifacts,
        "stages": [
            {"name": row.name, "group": row.group, "artifacts": row.artifacts, "why": row.why, **_flat(row.estimate)}
            for row in plan.rows
        ],
        "total": _flat(plan.total),
        "groups": {group: _flat(estimate) for group, estimate in plan.groups.items()},
        "llm": [
            {
                "who": asked.who,
                "model": asked.endpoint.model,
                "mode": asked.endpoint.mode,
                "calls": asked.calls,
                "prompt_tokens": asked.prompt_tokens,
                "reply_tokens": asked.reply_tokens,
                "dollars": asked.dollars,
                "max_dollars": asked.endpoint.max_dollars,
            }
            for asked in plan.asked
        ],
        "merged_bytes": plan.merged_bytes,
        "speeds": {kind: asdict(rate) for kind, rate in sources_of(plan).items()},
        "data": asdict(plan.data),
        "model": asdict(plan.size) if plan.size else None,
    }


def _flat(estimate: Estimate) -> dict[str, float]:
    rest = {name: value for name, value in vars(estimate).items() if name != "cost"}
    return {**asdict(estimate.cost), **rest}
