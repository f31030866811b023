"""Fig. 7: both models trained again with samples like the instructions of lowest SEAM."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from .. import tables
from ..experiment import (
    Augmentation,
    AugmentationMethod,
    Contrast,
    Experiment,
    Method,
    TestbedData,
    augmentation_methods,
    seeds_of_finding,
)
from . import models, rl
from ._finding_node import by_pm, by_rm, finding_node
from ._node import Inputs, Node, Partition, Step
from ._shapes import MODELS, accuracy_node, answers_node
from .filter_rates import full, same_runs
from .models import MODEL, curve, split_of, train_policy, train_reward

if TYPE_CHECKING:
    from ..findings import Finding
    from ..findings.augmentation import Added

Settings = tuple[Any, ...]


def nodes(experiment: Experiment) -> list[Node]:
    """Per method: the samples, both models trained with them and judged, RL on all instructions; and the finding."""
    augmentation = experiment.findings.augmentation
    if augmentation is None:
        return []
    methods = augmentation_methods(experiment, augmentation)
    found = [node for method in methods for node in _of_method(experiment, augmentation, method)]
    read = tuple(
        name
        for m in methods
        for name in (data(m), f"augmented_policy_quality_{m}", f"augmented_reward_quality_{m}", run(m).judged_rows)
    )
    plain = (full(experiment), "policy_quality", "reward_quality", "rl_data")
    shown = (methods, [[*cell, *seeds] for cell, seeds in seeds_of_finding(experiment, augmentation).items()])
    return [*found, finding_node("augmentation", _finding, (*plain, *read), lambda _: shown)]


def data(method: str) -> str:
    """The asset with a method's samples."""
    return f"augmentation_data_{method}"


def run(method: str, seeds: dict[tuple[int, int], tuple[int, ...]] | None = None) -> rl.RLRun:
    """RL on all instructions, of both models after augmentation."""
    text = f"all instructions, of the models augmented by {method}"
    pair = (f"augmented_policy_{method}", f"augmented_reward_{method}")
    return rl.RLRun(f"augmented_{method}", text, seeds or {}, None, *pair)


def _of_method(e: Experiment, augmentation: Augmentation, method: AugmentationMethod) -> list[Node]:
    seeds = seeds_of_finding(e, augmentation)
    return [
        _data_node(augmentation, method, tuple(seeds)),
        *_model_nodes(method, tuple(seeds)),
        *_quality_nodes(method, tuple(seeds)),
        *rl.rl_nodes(e, run(method, seeds)),
    ]


def _data_node(augmentation: Augmentation, method: AugmentationMethod, cells: tuple[tuple[int, int], ...]) -> Node:
    chosen = None if method == "full_aug" else cast("Method", method)

    def settings(e: Experiment, p: Partition) -> Settings:
        rate = augmentation.rate or e.selection.rate
        which = () if chosen is None else (rate, *rl._settings(e, chosen))
        trained = (e.policy.sft.unit, e.policy.ranks[(p.pm or 1) - 1])
        return (augmentation.samples, augmentation.pairs, band(e), *trained, *which)

    return Node(
        data(method),
        rl.SELECTION,
        f"One row per sample for the training sets: similar to the instructions that {method} finds weakest."
        if chosen
        else "One row per sample for the training sets: similar to any RL train instruction.",
        lambda step, inputs: _samples(step, inputs, augmentation, chosen),
        axis="grid",
        deps=("sft_data", "preference_data", "rl_data", *(rl._evidence(chosen) if chosen else ())),
        settings=settings,
        schema=tables.SFT,
        main="sft",
        cells=cells,
        heavy=True,
    )


def band(e: Experiment) -> Contrast:
    """How similar instructions are found: as in the contrast sets, within the augmentation's own band if it has one."""
    augmentation = e.findings.augmentation
    assert augmentation is not None
    own = {name: value for name in ("low", "high") if (value := getattr(augmentation, name)) is not None}
    settings = e.candidates.contrast or Contrast()
    return Contrast.model_validate({**settings.model_dump(), "max_pool": None, "pool": "all", **own})


def _samples(step: Step, inputs: Inputs, augmentation: Augmentation, method: Method | None) -> dict[str, pa.Table]:
    from ..candidates.augmentation import augment, augmentation_pool

    e = step.experiment
    rows, sft = split_of(inputs["rl_data"], "train"), split_of(inputs["sft_data"], "train")
    if method is not None:
        selected = rl._select(step, inputs, method, augmentation.rate or e.selection.rate)
        rows = rows.filter(pc.invert(selected["kept"]))
    by_steps, n = e.policy.sft.unit == "steps", e.policy.ranks[(step.partition.pm or 1) - 1]
    trained = sft if by_steps else sft.slice(0, n)
    pool = augmentation_pool(inputs["sft_data"], inputs["preference_data"], inputs["rl_data"], trained)
    cache = step.cache / "embeddings"
    return augment(
        rows, pool, inputs["preference_data"], band(e), augmentation.samples, augmentation.pairs, step.report,
        device=step.device, cache=cache,
    )._asdict()  # fmt: skip


def _model_nodes(method: str, cells: tuple[tuple[int, int], ...]) -> list[Node]:
    policy, reward = f"augmented_policy_{method}", f"augmented_reward_{method}"
    return [
        Node(
            policy,
            MODELS,
            f"One LoRA adapter: the policy of this rank trained again with {method}'s samples.",
            lambda step, inputs: _policy(step, inputs, method),
            axis="grid",
            deps=("base_model", "sft_data", data(method)),
            settings=lambda e, p: (e.policy.sft, e.policy.ranks[(p.pm or 1) - 1], e.seed),
            cells=cells,
            figure=curve("loss"),
            heavy=True,
        ),
        Node(
            reward,
            MODELS,
            f"One LoRA adapter and head: the reward model of this rank trained again with {method}'s pairs.",
            lambda step, inputs: _reward(step, inputs, method),
            axis="grid",
            deps=("base_model", policy, "preference_data", data(method)),
            settings=lambda e, p: (e.reward.training, e.reward.ranks[(p.rm or 1) - 1], e.seed),
            cells=cells,
            figure=curve("loss"),
            heavy=True,
        ),
    ]


def _policy(step: Step, inputs: Inputs, method: str) -> Path:
    train_policy(step, inputs, step.out / MODEL, step.experiment.seed, more=inputs[data(method)]["sft"])
    return step.out


def _reward(step: Step, inputs: Inputs, method: str) -> Path:
    policy, more = inputs[f"augmented_policy_{method}"] / MODEL, inputs[data(method)]["preference"]
    train_reward(step, inputs, policy, step.out / MODEL, step.experiment.seed, more=more)
    return step.out


def _quality_nodes(method: str, cells: tuple[tuple[int, int], ...]) -> list[Node]:
    policy, reward = f"augmented_policy_{method}", f"augmented_reward_{method}"
    return [
        answers_node(
            f"augmented_policy_quality_{method}",
            "One row per held-out test question: the augmented policy's answer before RL, rated.",
            lambda step, inputs: rl._policy_quality(step, {**inputs, "policy_model": inputs[policy]}),
            axis="grid",
            deps=("base_model", policy, "rl_data"),
            cells=cells,
        ),
        accuracy_node(
            f"augmented_reward_quality_{method}",
            "One row per preference test pair: does the augmented reward model prefer the better answer?",
            lambda step, inputs: models._reward_quality(step, {**inputs, "reward_model": inputs[reward]}),
            axis="grid",
            deps=("base_model", reward, "preference_data"),
            cells=cells,
        ),
    ]


def _finding(step: Step, inputs: Inputs) -> "Finding":
    from ..findings.augmentation import augmentation as finding

    e = step.experiment
    assert e.findings.augmentation is not None
    seeds = seeds_of_finding(e, e.findings.augmentation)
    policies, rewards = by_pm(inputs["policy_quality"]), by_rm(inputs["reward_quality"])
    return finding(
        same_runs(inputs[full(e)], seeds),
        {cell: policies[cell[0]] for cell in seeds},
        {cell: rewards[cell[1]] for cell in seeds},
        {m: _added(step, inputs, m, seeds) for m in augmentation_methods(e, e.findings.augmentation)},
        split_of(inputs["rl_data"], "train"),
    )


def _added(step: Step, inputs: Inputs, method: str, seeds: dict[tuple[int, int], tuple[int, ...]]) -> "Added":
    from ..findings.augmentation import Added

    def cells(name: str) -> dict[tuple[int, int], Any]:
        return {p.cell: value for p, value in inputs[name].items() if p.cell in seeds}

    made = cells(data(method))
    return Added(
        same_runs(inputs[run(method).judged_rows], seeds),
        cells(f"augmented_policy_quality_{method}"),
        cells(f"augmented_reward_quality_{method}"),
        {cell: value["counts"] for cell, value in made.items()},
        {cell: value["preference"] for cell, value in made.items()},
        _truly_better(step, [value["preference"] for value in made.values()]),
    )


def _truly_better(step: Step, pairs: list[pa.Table]) -> tuple[int, int] | None:
    """On the testbed: pairs whose chosen answer is truly the better one, of how many; None elsewhere."""
    if not isinstance(step.experiment.data, TestbedData):
        return None
    rate, rows = step.world.rate, [row for table in pairs for row in table.to_pylist()]
    right = sum(rate(r["instruction"], r["chosen"]) > rate(r["instruction"], r["rejected"]) for r in rows)
    return right, len(rows)
