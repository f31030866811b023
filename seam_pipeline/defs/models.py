"""The base model and the ladders of policies and reward models."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..experiment import Experiment, TestbedData
from ._job import Job
from ._node import Inputs, Node, Partition, Step
from ._shapes import MODELS, accuracy_node
from .data import states

MODEL = "model"


def nodes(experiment: Experiment) -> list[Node]:
    """Base, policy ladder, reward ladder and their qualities."""
    return [
        Node(
            "base_model",
            MODELS,
            "The base language model: a given one, or a small LLaMA trained from scratch.",
            _base_model,
            deps=("sft_data",) if experiment.base.scratch and not isinstance(experiment.data, TestbedData) else (),
            settings=_base_settings,
            external=_outside if local_base(experiment) else None,
            figure=curve("loss"),
            heavy=experiment.base.scratch is not None,
        ),
        Node(
            "policy_model",
            MODELS,
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
            MODELS,
            "One LoRA adapter and scalar head per quality rank, on the policy of the same rank (TRL RewardTrainer).",
            _reward_model,
            axis="rm",
            deps=("base_model", "policy_model", "preference_data"),
            settings=lambda e, p: (e.reward.training, e.reward.ranks[(p.rm or 1) - 1], e.seed),
            figure=curve("loss"),
            heavy=True,
        ),
        accuracy_node(
            "reward_quality",
            "One row per preference test pair: does the reward model prefer the better answer?",
            _reward_quality,
            axis="rm",
            deps=("base_model", "reward_model", "preference_data"),
        ),
    ]


def split_of(table: pa.Table, split: str) -> pa.Table:
    """The rows of one split."""
    return table.filter(pc.equal(table["split"], split))


def _base_settings(experiment: Experiment, _partition: Partition) -> tuple[Any, ...]:
    """What it is trained on, besides an input: of the testbed's settings only those that decide its manual."""
    data = experiment.data
    texts = (data.topics, data.seed) if experiment.base.scratch and isinstance(data, TestbedData) else None
    return (experiment.base, texts, experiment.seed)


def local_base(experiment: Experiment) -> Path | None:
    """The given base model's folder on this machine, if it is one."""
    path = experiment.base.path
    return Path(path) if path is not None and Path(path).is_dir() else None


def _outside(experiment: Experiment) -> str:
    """Sizes and times of a local base model's files; their content is hashed only when these change."""
    folder = local_base(experiment)
    return states(sorted(p for p in folder.rglob("*") if p.is_file())) if folder else ""


def _base_model(step: Step, inputs: Inputs) -> Path:
    base, out = step.experiment.base, step.out / MODEL
    if base.scratch is None:
        out.mkdir(exist_ok=True)
        given: dict[str, Any] = {"path": base.path, "revision": base.revision, "dtype": base.dtype}
        if folder := local_base(step.experiment):
            from ..models.content import content_hash

            given["content"] = content_hash(folder)
        (out / "base.json").write_text(json.dumps(given, indent=1) + "\n")
        return step.out
    if not out.exists():
        from ..training.pretrain import train_base

        texts, seed = _pretraining_texts(step, inputs), step.experiment.seed
        with step.watch("base") as watch:
            train_base(texts, base.scratch, out, seed, step.device, step.report, watch)
    return step.out


def _pretraining_texts(step: Step, inputs: Inputs) -> Iterator[str]:
    data = step.experiment.data
    if isinstance(data, TestbedData):
        from ..testbed import pretraining_texts

        return pretraining_texts(data.topics, data.seed)
    from ..models.prompt import full_text

    rows = split_of(inputs["sft_data"], "train").to_pylist()
    return (full_text(row["instruction"], row["golden_response"]) for row in rows)


def _policy_model(step: Step, inputs: Inputs) -> Path:
    train_policy(step, inputs, step.out / MODEL, step.experiment.seed)
    return step.out


def train_policy(
    step: Step, inputs: Inputs, out: Path, seed: int, part: str = "", more: pa.Table | None = None
) -> None:
    """The policy of the step's rank on the `base_model` of its inputs, unless `out` is there already.

    `more`: rows that are trained on besides those of the rank.
    """
    if not out.exists():
        policy, rows = step.experiment.policy, inputs["sft_data"]
        train, n = split_of(rows, "train"), policy.ranks[(step.partition.pm or 1) - 1]
        if more is not None and policy.sft.unit == "steps":
            train = pa.concat_tables([train, more])
        elif more is not None:
            train, n = added(train, n, more)
        data = (train, split_of(rows, "dev"))
        step.train(Job("sft", (inputs["base_model"] / MODEL,), policy.sft, out, seed, tables=data, n=n, part=part))


def added(rows: pa.Table, n: int, more: pa.Table) -> tuple[pa.Table, int]:
    """The first n rows and `more` ones, and how many to train on; where n are not there, the training says so."""
    return pa.concat_tables([rows.slice(0, n), more]), n + more.num_rows


def _reward_model(step: Step, inputs: Inputs) -> Path:
    train_reward(step, inputs, inputs["policy_model"] / MODEL, step.out / MODEL, step.experiment.seed)
    return step.out


def train_reward(
    step: Step, inputs: Inputs, policy: Path, out: Path, seed: int, part: str = "", more: pa.Table | None = None
) -> None:
    """The reward model of the step's rank on a policy's folder, unless `out` is there already; `more` as above."""
    if not out.exists():
        reward, pairs = step.experiment.reward, inputs["preference_data"]
        train, n = split_of(pairs, "train"), reward.ranks[(step.partition.rm or 1) - 1]
        if more is not None:
            train, n = added(train, n, more)
        data = (train, split_of(pairs, "dev"))
        step.train(Job("reward", (policy,), reward.training, out, seed, tables=data, n=n, part=part))


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
