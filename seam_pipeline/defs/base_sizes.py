"""Tab. 2: match rate and both qualities as the base model grows."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..experiment import Cell, Experiment, Preference, on_base
from . import models, preference, rl
from ._finding_node import by_rm, finding_node
from ._node import Check, Inputs, Node, Step
from .models import MODEL

if TYPE_CHECKING:
    from ..findings import Finding
    from ..findings.base_sizes import BaseSize

QUALITIES = ("policy_quality", "reward_quality")
EVIDENCE = ("base_model", *QUALITIES, *preference.EVIDENCE)
"""What the finding reads of each base."""


def nodes(experiment: Experiment) -> list[Node]:
    """The assets and the finding; none where `findings.base_sizes` is null."""
    sizes, settings = experiment.findings.base_sizes, experiment.findings.preference
    if sizes is None or settings is None:
        return []
    found = [node for name in sizes.bases for node in _study_of(experiment, name, settings)]
    named = {name: tuple(f"{asset}_{name}" for asset in EVIDENCE) for name in sizes.bases}
    read = (*EVIDENCE, *(asset for assets in named.values() for asset in assets))
    best = frozenset(asset for asset in read if asset.startswith("policy_quality"))
    return [*found, finding_node("base_sizes", _finding, read, lambda e: (e.findings.base_sizes,), best)]


def _study_of(experiment: Experiment, name: str, settings: Preference) -> list[Node]:
    """The study's own assets on another base, as far as the match rate and both qualities need them."""
    other = on_base(experiment, name)
    pm, rm = (1, settings.reward), (settings.reward, settings.reward)
    trained: tuple[Cell, ...] = tuple(dict.fromkeys((rank, rank) for rank in (1, *settings.policies, settings.reward)))
    cells: dict[str, tuple[Cell, ...] | None] = {
        "base_model": None,
        "policy_model": trained,
        "policy_quality": (pm,),
        "reward_model": (rm,),
        "reward_quality": (rm,),
        preference.RESPONSES: tuple((rank, 1) for rank in settings.policies),
        preference.ANSWERS: None,
        preference.REWARDS: (rm,),
        preference.VERDICTS: None,
    }
    every = [*models.nodes(other), *rl.nodes(other), *preference.nodes(other)]
    return [_on(node, other, name, cells) for node in every if node.name in cells]


def _on(node: Node, other: Experiment, name: str, cells: Mapping[str, tuple[Cell, ...] | None]) -> Node:
    """The node as `{its name}_{name}`: it follows another experiment, and reads what that experiment made."""
    names = {dep: f"{dep}_{name}" if dep in cells else dep for dep in node.deps}

    def known(inputs: Inputs) -> Inputs:
        return {dep: inputs[renamed] for dep, renamed in names.items()}

    def checked(check: Check) -> Check:
        return replace(check, problem=lambda value, inputs: check.problem(value, known(inputs)))

    outside = node.external
    return replace(
        node,
        name=f"{node.name}_{name}",
        description=f"{node.description.rstrip('.')}; on the base {name}.",
        compute=lambda step, inputs: node.compute(replace(step, experiment=other), known(inputs)),
        deps=tuple(names.values()),
        best=frozenset(names[dep] for dep in node.best),
        settings=lambda _, partition: node.settings(other, partition),
        checks=tuple(map(checked, node.checks)),
        cells=cells[node.name],
        external=None if outside is None else lambda _: outside(other),
        follows=other,
    )


def _finding(step: Step, inputs: Inputs) -> "Finding":
    from ..findings.base_sizes import base_sizes

    e = step.experiment
    assert e.findings.base_sizes is not None
    own = _size(e, inputs, "")
    further = {name: _size(on_base(e, name), inputs, f"_{name}") for name in e.findings.base_sizes.bases}
    return base_sizes(own, further)


def _size(experiment: Experiment, inputs: Inputs, suffix: str) -> "BaseSize":
    from ..findings.base_sizes import BaseSize
    from ..models.stack import parameters_of

    settings = experiment.findings.preference
    assert settings is not None
    base, policy, reward, rewards, verdicts = (inputs[f"{asset}{suffix}"] for asset in EVIDENCE)
    return BaseSize(
        experiment.base.path or "from scratch",
        parameters_of(base / MODEL),
        policy,
        by_rm(reward)[settings.reward],
        by_rm(rewards)[settings.reward],
        verdicts,
        _trained(experiment),
    )


def _trained(experiment: Experiment) -> dict[str, object]:
    """The settings of the three trainings by name; the shape of a base from scratch is its size, not a setting."""
    from ..findings.base_sizes import SHAPE

    scratch = experiment.base.scratch.model_dump(exclude=set(SHAPE)) if experiment.base.scratch else {}
    trainings = {"pretraining": scratch, "SFT": experiment.policy.sft.model_dump(),
                 "reward": experiment.reward.training.model_dump()}  # fmt: skip
    return {f"{name} {key}": value for name, one in trainings.items() for key, value in _flat(one)}


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, object]]:
    """`lora.r` and its value, for every setting that is no mapping."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
