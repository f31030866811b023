"""Section 8: online RLHF as a series of offline cycles, SEAM at the start of each.

Per cycle and method, all seeds in one asset: score the cycle's segment with the current pair, select, RL, rate what the
new policy writes, refresh the reward model. The last cycle refreshes none, since nothing would read it.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..experiment import Cycles, Experiment, cycle_seeds
from . import _cycle
from ._checks import finite, keeps_some
from ._cycle import Cycle
from ._finding_node import finding_node
from ._node import Inputs, Node, Step
from ._shapes import answers_node, judging, scoring
from .rl import RL

if TYPE_CHECKING:
    from ..findings import Finding

BEST = frozenset({"policy_model", "reward_model"})
OFFLINE = "rlhf_quality_full"


def nodes(experiment: Experiment) -> list[Node]:
    """The assets and the finding; none where `findings.cycles` is null."""
    settings = experiment.findings.cycles
    if settings is None:
        return []
    every = [Cycle(number, method) for number in range(1, settings.cycles + 1) for method in settings.methods]
    found = [node for cycle in every for node in _of_cycle(settings, cycle)]
    return [*found, _finding(settings, every)]


def _seeds(e: Experiment) -> tuple[Any, ...]:
    assert e.findings.cycles is not None
    return (cycle_seeds(e, e.findings.cycles), e.findings.cycles.cycles)


def _of_cycle(settings: Cycles, cycle: Cycle) -> list[Node]:
    models = ("base_model", cycle.policy, cycle.reward, "rl_data")
    what = f"in cycle {cycle.number} of {cycle.method}"
    candidates = f"{settings.variant}_candidates"
    rows = f"One row per seed and instruction {what}"
    found = [
        Node(
            cycle.asset("scores"),
            RL,
            f"{rows}: SEAM of the pair that the cycle starts from.",
            lambda step, inputs: _cycle.cycle_scores(step, inputs, cycle),
            deps=(*models, candidates),
            best=BEST,
            settings=lambda e, p: (*_seeds(e), *scoring(e, p)),
            schema=_cycle.SCORES,
            checks=(finite("seam_log"),),
            heavy=True,
        ),
        Node(
            cycle.asset("selected"),
            RL,
            f"{rows}: is it kept?",
            lambda step, inputs: _cycle.cycle_selected(step, inputs, cycle),
            deps=("rl_data", cycle.asset("scores")),
            settings=lambda e, _: (*_seeds(e), e.selection.rate, e.scoring.form, e.selection.seed),
            schema=_cycle.SELECTED,
            checks=(keeps_some(),),
        ),
        Node(
            cycle.asset("policy"),
            RL,
            f"One RL adapter per seed {what}, on the policy that the cycle starts from.",
            lambda step, inputs: _cycle.cycle_policy(step, inputs, cycle),
            deps=(*models, cycle.asset("selected")),
            best=BEST,
            settings=lambda e, _: (*_seeds(e), e.rl.algorithm, _cycle.rl_settings(e, cycle)),
            heavy=True,
        ),
        Node(
            cycle.asset("answers"),
            RL,
            f"One row per answer of the new policy to the instructions {what}: its reward and its rating.",
            lambda step, inputs: _cycle.cycle_answers(step, inputs, cycle),
            deps=(*dict.fromkeys((*models, cycle.asset("policy"))),),
            best=BEST,
            settings=lambda e, p: (
                *_seeds(e), settings.answers, e.selection.temperature, e.seed, *scoring(e, p), *judging(e, p),
            ),
            checks=(finite("rating"),),
            heavy=True,
        ),
        replace(answers_node, settings=lambda e, p: (*_seeds(e), *judging(e, p)))(
            cycle.asset("quality"),
            f"One row per held-out test question and seed: the new policy's answer {what}, rated.",
            lambda step, inputs: _cycle.cycle_quality(step, inputs, cycle),
            axis="one",
            deps=("base_model", cycle.asset("policy"), "rl_data"),
        ),
    ]  # fmt: skip
    return [*found, _reward(cycle)] if cycle.number < settings.cycles else found


def _reward(cycle: Cycle) -> Node:
    own = tuple(Cycle(number, cycle.method).asset("answers") for number in range(1, cycle.number + 1))
    return Node(
        cycle.asset("reward"),
        RL,
        f"One reward model per seed after cycle {cycle.number} of {cycle.method}: the best rank's pairs and the new "
        "policies' own.",
        lambda step, inputs: _cycle.cycle_reward(step, inputs, cycle),
        deps=("base_model", "policy_model", "preference_data", *own),
        best=BEST,
        settings=lambda e, _: (*_seeds(e), e.reward.training, e.reward.ranks[0], e.seed),
        heavy=True,
    )


def _finding(settings: Cycles, every: list[Cycle]) -> Node:
    kinds = ("scores", "selected", "answers", "quality")
    read = tuple(cycle.asset(kind) for cycle in every for kind in kinds)

    def compute(step: Step, inputs: Inputs) -> "Finding":
        from ..findings.cycles import CycleTables, cycles

        tables_of = {
            str(method): {
                c.number: CycleTables(*(inputs[c.asset(kind)] for kind in kinds)) for c in every if c.method == method
            }
            for method in settings.methods
        }
        return cycles(tables_of, inputs["policy_quality"], inputs[OFFLINE], step.experiment.scoring.form)

    deps = (*read, "policy_quality", OFFLINE)
    return finding_node("cycles", compute, deps, lambda e: (e.scoring.form,), frozenset({"policy_quality", OFFLINE}))
