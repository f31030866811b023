"""The base model and the ladders of policies and reward models."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from .. import tables
from ..experiment import Experiment, TestbedData
from ._checks import finite
from ._job import Job
from ._node import Inputs, Node, Partition, Step

GROUP = "2_models"
MODEL = "model"


def nodes(experiment: Experiment) -> list[Node]:
    """Base, policy ladder, reward ladder and their qualities."""
    return [
        Node(
            "base_model",
            GROUP,
            "The base language model: a given one, or a small LLaMA trained from scratch.",
            _base_model,
            deps=("sft_data",) if experiment.base.scratch else (),
            settings=_base_settings,
            figure=curve("loss"),
            heavy=True,
        ),
        Node(
            "policy_model",
            GROUP,
            "One LoRA adapter per quality rank: the base fine-tuned on that rank's SFT examples (TRL SFTTrainer).",
            _policy_model,
            axis="pm",
            deps=("base_model", "sft_data"),
            settings=lambda e, p: (e.policy.sft, e.policy.ranks[(p.pm or 1) - 1], e.seed),
            figure=curve("loss"),
            heavy=True,
        ),
        Node(
            "reward_model",
            GROUP,
            "One LoRA adapter and scalar head per quality rank, on the policy of the same rank (TRL RewardTrainer).",
            _reward_model,
            axis="rm",
            deps=("base_model", "policy_model", "preference_data"),
            settings=lambda e, p: (e.reward.training, e.reward.ranks[(p.rm or 1) - 1], e.seed),
            figure=curve("loss"),
            heavy=True,
        ),
        Node(
            "reward_quality",
            GROUP,
            "One row per preference test pair: does the reward model prefer the better answer?",
            _reward_quality,
            axis="rm",
            deps=("base_model", "reward_model", "preference_data"),
            schema=tables.REWARD_QUALITY,
            checks=(finite("chosen_reward", "rejected_reward"),),
            heavy=True,
        ),
    ]


def split_of(table: pa.Table, split: str) -> pa.Table:
    """The rows of one split."""
    return table.filter(pc.equal(table["split"], split))


def _base_settings(experiment: Experiment, _partition: Partition) -> tuple[Any, ...]:
    texts = experiment.data.model_dump(mode="json") if isinstance(experiment.data, TestbedData) else None
    return (experiment.base, texts, experiment.seed)


def _base_model(step: Step, inputs: Inputs) -> Path:
    base, out = step.experiment.base, step.out / MODEL
    if base.scratch is None:
        out.mkdir(exist_ok=True)
        given = {"path": base.path, "revision": base.revision, "dtype": base.dtype}
        (out / "base.json").write_text(json.dumps(given, indent=1) + "\n")
        return step.out
    if not out.exists():
        from ..training.pretrain import train_base

        train_base(_pretraining_texts(step, inputs), base.scratch, out, step.experiment.seed, step.device, step.report)
    return step.out


def _pretraining_texts(step: Step, inputs: Inputs) -> Iterator[str]:
    if isinstance(step.experiment.data, TestbedData):
        return iter(step.world.pretraining_texts())
    from ..models.prompt import full_text

    rows = split_of(inputs["sft_data"], "train").to_pylist()
    return (full_text(row["instruction"], row["golden_response"]) for row in rows)


def _policy_model(step: Step, inputs: Inputs) -> Path:
    out, policy = step.out / MODEL, step.experiment.policy
    if not out.exists():
        rows = inputs["sft_data"]
        step.train(
            Job(
                "sft",
                (inputs["base_model"] / MODEL,),
                policy.sft,
                out,
                step.experiment.seed,
                tables=(split_of(rows, "train"), split_of(rows, "dev")),
                n=policy.ranks[(step.partition.pm or 1) - 1],
            )
        )
    return step.out


def _reward_model(step: Step, inputs: Inputs) -> Path:
    out, reward = step.out / MODEL, step.experiment.reward
    if not out.exists():
        pairs = inputs["preference_data"]
        step.train(
            Job(
                "reward",
                (inputs["policy_model"] / MODEL,),
                reward.training,
                out,
                step.experiment.seed,
                tables=(split_of(pairs, "train"), split_of(pairs, "dev")),
                n=reward.ranks[(step.partition.rm or 1) - 1],
            )
        )
    return step.out


def _reward_quality(step: Step, inputs: Inputs) -> pa.Table:
    from ..models.stack import load_reward
    from ..scoring.quality import reward_quality

    rm = load_reward(inputs["reward_model"] / MODEL, step.device)
    return reward_quality(rm, split_of(inputs["preference_data"], "test"), step.report)


def curve(column: str) -> Any:
    """Draws a column of a model folder's metrics over its steps."""

    def figure(folder: Path) -> bytes | None:
        path = folder / MODEL / "metrics.parquet"
        if not path.exists():
            return None
        import pyarrow.parquet as pq

        from ._curves import curve_png

        return curve_png(pq.read_table(path), column)

    return figure
