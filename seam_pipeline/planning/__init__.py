"""What a run would take: tokens, time, disk, LLM calls; estimated without a GPU or a network."""

from collections.abc import Iterable

from ..defs._stale import Task
from ..defs._study import Study
from ..store import Store
from ._estimate import Planner
from ._given import read_throughput
from ._json import plan_dict
from ._lines import plan_lines
from ._plan import Plan, make_plan

__all__ = ["Plan", "Planner", "expected_seconds", "make_plan", "plan_dict", "plan_lines", "read_throughput"]


def expected_seconds(study: Study, store: Store, tasks: Iterable[Task]) -> dict[str, float]:
    """By label, one artifact at a time."""
    planner = Planner(study, store)
    return {task.label: planner.estimate(task.node, task.partition).seconds for task in tasks}
