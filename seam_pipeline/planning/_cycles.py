"""Costs of section 8's cycles."""

import re

from ..experiment import Experiment, cycle_seeds, cycle_steps
from ._size import DataSize, ModelSize
from ._work import Cost

NAME = re.compile(r"cycle(\d+)_([a-z]+)_")


def cycle_cost(name: str, e: Experiment, d: DataSize, size: ModelSize) -> Cost:
    """Cost of an asset such as `cycle2_reward_random`, all seeds; nothing for selections.

    The first cycle's seeds share their models, so they are scored once.
    """
    from . import _cost

    cycles, found = e.findings.cycles, NAME.match(name)
    if cycles is None or found is None:
        return Cost()
    number, kind, seeds = int(found[1]), found[2], len(cycle_seeds(e, cycles))
    segment = d.rl_train / cycles.cycles
    if kind == "scores":
        passes = 2 * (seeds if number > 1 else 1)
        return _cost._times(passes / cycles.cycles, _cost._scores(e, d, size, 1, 1))
    if kind == "policy":
        steps = sum(cycle_steps(e, cycles, n) for n in range(1, cycles.cycles + 1))
        return _cost._times(cycle_steps(e, cycles, number) / steps, _cost._rl(seeds, e, d, size, 1))
    if kind == "answers":
        return _cost._answered(e, d, seeds * segment * cycles.answers)
    if kind == "reward":
        return _cost._times(seeds, _cost._reward(e, d, size, 1, 1, number * segment))
    return _cost._judged(e, d, seeds) if kind == "quality" else Cost()
