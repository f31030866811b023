"""Selection, PPO and the quality of what comes out."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import tables
from ..experiment import VARIANT_OF_METHOD, Experiment, Method
from ._checks import finite, keeps_some
from ._node import Inputs, Node, Partition, Step
from .models import MODEL, split_of
from .scores import by_policy

SELECTION, RL, QUALITY = "5_selection", "6_rl", "7_quality"


def nodes(experiment: Experiment) -> list[Node]:
    """The plain policies' quality, and per method: selection, PPO, quality."""
    policy_quality = Node(
        "policy_quality",
        QUALITY,
        "One row per held-out test question: the policy's answer before RL, rated by the judge.",
        _policy_quality,
        axis="pm",
        deps=("base_model", "policy_model", "rl_data"),
        settings=_judging,
        schema=tables.ANSWERS,
        checks=(finite("rating"),),
        heavy=True,
    )
    return [policy_quality] + [node for method in experiment.methods for node in _of_method(experiment, method)]


def _of_method(experiment: Experiment, method: Method) -> list[Node]:
    selected, trained, judged = f"selected_{method}", f"rlhf_policy_{method}", f"rlhf_quality_{method}"
    cells = tuple(experiment.runs[method])
    return [
        Node(
            selected,
            SELECTION,
            f"One row per RL train instruction: does {method} keep it?",
            lambda step, inputs: _select(step, inputs, method),
            axis="grid",
            deps=("rl_data", *_evidence(method)),
            settings=lambda e, _: (e.selection, e.scoring.form),
            schema=tables.SELECTED,
            checks=(keeps_some(),),
            cells=cells,
        ),
        Node(
            trained,
            RL,
            f"One PPO adapter per seed, trained on the instructions that {method} keeps.",
            lambda step, inputs: _train(step, inputs, method),
            axis="grid",
            deps=("base_model", "policy_model", "reward_model", "rl_data", selected),
            settings=lambda e, p: (e.rl.ppo, e.runs[method].get(p.cell, ())),
            cells=cells,
            figure=_learning_curves,
            heavy=True,
        ),
        Node(
            judged,
            QUALITY,
            f"One row per held-out test question and seed: the answer after RL on {method}'s instructions, rated.",
            lambda step, inputs: _rlhf_quality(step, inputs, method),
            axis="grid",
            deps=("base_model", trained, "rl_data"),
            settings=_judging,
            schema=tables.ANSWERS,
            checks=(finite("rating"),),
            cells=cells,
            heavy=True,
        ),
        Node(
            f"{judged}_by_policy",
            QUALITY,
            f"One row per answer and reward model: a row of the grid of {method}'s quality.",
            lambda step, inputs: by_policy(inputs[judged]),
            axis="pm",
            deps=(judged,),
            cells=cells,
        ),
        Node(
            f"ppo_metrics_{method}_by_policy",
            RL,
            f"One row per PPO step, seed and reward model of {method}'s runs.",
            lambda step, inputs: _metrics(inputs[trained]),
            axis="pm",
            deps=(trained,),
            cells=cells,
        ),
    ]


def _evidence(method: Method) -> tuple[str, ...]:
    if method in VARIANT_OF_METHOD:
        return (f"seam_scores_{VARIANT_OF_METHOD[method]}",)
    return ("base_perplexities",) if method == "perplexity" else ()


def _select(step: Step, inputs: Inputs, method: Method) -> pa.Table:
    from ..selection import select

    e = step.experiment
    scores = inputs[f"seam_scores_{VARIANT_OF_METHOD[method]}"]["scores"] if method in VARIANT_OF_METHOD else None
    return select(
        method,
        split_of(inputs["rl_data"], "train"),
        e.selection.rate,
        seam_scores=scores,
        form=e.scoring.form,
        perplexities=inputs.get("base_perplexities"),
        seed=e.selection.seed,
    )


def _train(step: Step, inputs: Inputs, method: Method) -> Path:
    from ..training.ppo import train_ppo

    seeds = step.experiment.runs[method][step.partition.cell]
    rows = split_of(inputs["rl_data"], "train")
    kept = inputs[f"selected_{method}"]
    ids = pc.filter(kept["id"], kept["kept"])
    prompts = rows.filter(pc.is_in(rows["id"], value_set=ids.combine_chunks()))["instruction"].to_pylist()
    steps = step.experiment.rl.ppo.steps
    for turn, seed in enumerate(seeds):
        out = step.out / f"seed{seed}"
        if not out.exists():
            train_ppo(
                inputs["policy_model"] / MODEL,
                inputs["reward_model"] / MODEL,
                prompts,
                step.experiment.rl.ppo,
                out,
                seed,
                step.device,
                lambda done, _total, turn=turn: step.report(turn * steps + done, len(seeds) * steps),  # type: ignore[misc]
            )
    return step.out


def metrics_of(folder: Path) -> pa.Table:
    """One row per PPO step and seed of one cell, with a column `seed`."""
    parts = []
    for path in sorted(folder.glob("seed*/metrics.parquet")):
        table = pq.read_table(path)
        seed = int(path.parent.name.removeprefix("seed"))
        parts.append(table.append_column("seed", pa.array([seed] * table.num_rows, pa.int32())))
    return pa.concat_tables(parts, promote_options="default")


def _metrics(cells: dict[Partition, Path]) -> pa.Table:
    return by_policy({partition: metrics_of(folder) for partition, folder in cells.items()})


def _learning_curves(folder: Path) -> bytes | None:
    from ._curves import curve_png

    return curve_png(metrics_of(folder), "reward_mean", by="seed")


def _judging(experiment: Experiment, _partition: Partition) -> tuple[Any, ...]:
    return (experiment.judge, experiment.evaluation.model_dump(mode="json", exclude={"batch_size"}))


def _policy_quality(step: Step, inputs: Inputs) -> pa.Table:
    return _answers(step, inputs, {0: inputs["policy_model"] / MODEL})


def _rlhf_quality(step: Step, inputs: Inputs, method: Method) -> pa.Table:
    folder = inputs[f"rlhf_policy_{method}"]
    seeds = step.experiment.runs[method][step.partition.cell]
    return _answers(step, inputs, {seed: folder / f"seed{seed}" for seed in seeds})


def _answers(step: Step, inputs: Inputs, policies: dict[int, Path]) -> pa.Table:
    from ..judging import make_judge
    from ..judging.answers import judged_answers
    from ..models.stack import load_policy

    e = step.experiment
    questions = split_of(inputs["rl_data"], "test").slice(0, e.evaluation.questions)
    rate = step.world.rate if e.judge.kind == "gold" else None
    judge = make_judge(e.judge, rate=rate, cache_path=step.cache / "llm.sqlite", device=step.device)
    parts = []
    for turn, (seed, folder) in enumerate(policies.items()):
        step.report(turn, len(policies))
        parts.append(judged_answers(load_policy(folder, step.device), questions, e.evaluation, judge, seed))
    return pa.concat_tables(parts)
