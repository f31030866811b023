"""Fig. 3: do policies and reward models keep their quality on the other segments' test splits?"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from .. import tables
from ..experiment import CrossValidation, Experiment
from ..progress import Progress
from . import data
from ._checks import finite, has_rows
from ._finding_node import by_pm, by_rm, finding_node
from ._node import Check, Inputs, Node, Step
from ._shapes import MODELS, QUALITY, judging
from .models import MODEL, train_policy, train_reward
from .rl import judged

if TYPE_CHECKING:
    from ..findings import Finding

TESTS, POLICIES, REWARDS = "segment_tests", "policy_replicas", "reward_replicas"
RATED, COMPARED = "policy_cross_quality", "reward_cross_quality"


def nodes(experiment: Experiment) -> list[Node]:
    """The assets and the finding; none where `findings.cross_validation` is null."""
    settings = experiment.findings.cross_validation
    if settings is None:
        return []
    replicas = _replica_nodes(settings) if further_seeds(experiment) else []
    return [_tests(), *replicas, *_quality_nodes(experiment, settings), finding_node(
        "cross_validation", _finding, (RATED, COMPARED))]  # fmt: skip


def further_seeds(experiment: Experiment) -> tuple[int, ...]:
    """Seeds that are trained anew: the experiment's own has trained its ladders."""
    settings = experiment.findings.cross_validation
    return tuple(seed for seed in settings.seeds if seed != experiment.seed) if settings else ()


def _tests() -> Node:
    return Node(
        TESTS,
        data.GROUP,
        "One row per test question of all three segments, and one per pair of its answers.",
        _held_out,
        deps=("question_answers", "sft_data", "preference_data", "rl_data"),
        settings=lambda e, _: (e.data.splits,),
        schema=tables.SEGMENT_PAIRS,
        main="pairs",
        checks=(has_rows("test"), _untrained()),
    )


def _held_out(step: Step, inputs: Inputs) -> dict[str, pa.Table]:
    from ..data import held_out

    found = held_out(inputs["question_answers"]["question_answers"], step.experiment.data.splits)
    step.notes["left_out_as_seen_in_training"] = found.seen
    return {"questions": found.questions, "pairs": found.pairs}


def _untrained() -> Check:
    def problem(pairs: pa.Table, inputs: Inputs) -> str | None:
        for name, column in (("sft_data", "id"), ("preference_data", "question_id"), ("rl_data", "id")):
            rows = inputs[name].filter(pc.not_equal(inputs[name]["split"], "test"))
            shared = pc.sum(pc.is_in(pairs["question_id"], value_set=rows[column].combine_chunks())).as_py()
            if shared:
                return f"{shared} pairs are of questions in the train or dev split of {name}"
        return None

    return Check("never_trained_on", "No test question is in a train or dev split of any segment.", problem)


def _replica_nodes(settings: CrossValidation) -> list[Node]:
    cells = _ranks(settings)
    return [
        Node(
            POLICIES,
            MODELS,
            "One LoRA adapter per further seed: the policy of this rank, trained again on the same examples.",
            _train_policies,
            axis="pm",
            deps=("base_model", "sft_data"),
            settings=lambda e, p: (e.policy.sft, e.policy.ranks[(p.pm or 1) - 1], further_seeds(e)),
            cells=cells,
            heavy=True,
        ),
        Node(
            REWARDS,
            MODELS,
            "One LoRA adapter and head per further seed: the reward model of this rank, on the policy of that seed.",
            _train_rewards,
            axis="rm",
            deps=("base_model", POLICIES, "preference_data"),
            settings=lambda e, p: (e.reward.training, e.reward.ranks[(p.rm or 1) - 1], further_seeds(e)),
            cells=cells,
            heavy=True,
        ),
    ]


def _ranks(settings: CrossValidation) -> tuple[tuple[int, int], ...]:
    return tuple((rank, rank) for rank in range(1, settings.ranks + 1))


def _train_policies(step: Step, inputs: Inputs) -> Path:
    for name, seed, inner in _turns(step):
        train_policy(inner, inputs, step.out / name, seed, name)
    return step.out


def _train_rewards(step: Step, inputs: Inputs) -> Path:
    """A replica repeats the whole way from the base: its spread holds the policy's as well."""
    for name, seed, inner in _turns(step):
        train_reward(inner, inputs, inputs[POLICIES] / name, step.out / name, seed, name)
    return step.out


def _turns(step: Step) -> list[tuple[str, int, Step]]:
    """(folder, seed, step whose progress is a share of the whole) per further seed."""
    seeds = further_seeds(step.experiment)
    return [
        (f"seed{seed}", seed, replace(step, report=_share(step.report, turn, len(seeds))))
        for turn, seed in enumerate(seeds)
    ]


def _share(report: Progress, turn: int, turns: int) -> Progress:
    return lambda done, total: report(turn * total + done, turns * total)


def _quality_nodes(experiment: Experiment, settings: CrossValidation) -> list[Node]:
    own, further = experiment.seed in settings.seeds, bool(further_seeds(experiment))
    cells = _ranks(settings)

    def read(model: str, quality: str, replicas: str) -> tuple[str, ...]:
        return ("base_model", TESTS, *((model, quality) if own else ()), *((replicas,) if further else ()))

    return [
        Node(
            RATED,
            QUALITY,
            "One row per test question of all three segments and seed: the policy's answer, rated by the judge.",
            _rate,
            axis="pm",
            deps=read("policy_model", "policy_quality", POLICIES),
            settings=lambda e, p: (*judging(e, p), settings.seeds, e.seed),
            schema=tables.SEGMENT_ANSWERS,
            checks=(finite("rating"),),
            cells=cells,
            heavy=True,
        ),
        Node(
            COMPARED,
            QUALITY,
            "One row per test pair of all three segments and seed: does the reward model prefer the better answer?",
            _compare,
            axis="rm",
            deps=read("reward_model", "reward_quality", REWARDS),
            settings=lambda e, _: (settings.pairs, settings.seeds, e.seed),
            schema=tables.SEGMENT_REWARDS,
            checks=(finite("chosen_reward", "rejected_reward"),),
            cells=cells,
            heavy=True,
        ),
    ]


def _rate(step: Step, inputs: Inputs) -> pa.Table:
    """What `policy_quality` holds already, the experiment's own policy on the RL segment, isn't answered again."""
    questions = _first(inputs[TESTS]["questions"], step.experiment.evaluation.questions)
    segment_of = dict(zip(questions["id"].to_pylist(), questions["segment"].to_pylist(), strict=True))
    parts = []
    for seed, folder in _models(step, inputs, "policy_model", POLICIES).items():
        known, asked = tables.ANSWERS.empty_table(), questions
        if seed == step.experiment.seed:
            known, asked = _known(inputs["policy_quality"], questions)
            seeds = pa.array([seed] * len(known), pa.int32())
            known = known.set_column(1, tables.ANSWERS.field("seed"), seeds)
        parts += [known, judged(step, asked, {seed: folder})]
    rated = pa.concat_tables(parts)
    segments = pa.array([segment_of[identity] for identity in rated["id"].to_pylist()], pa.string())
    return rated.append_column(tables.SEGMENT_ANSWERS.field("segment"), segments).cast(tables.SEGMENT_ANSWERS)


def _compare(step: Step, inputs: Inputs) -> pa.Table:
    """What `reward_quality` holds already, the experiment's own reward model on its segment, isn't scored again."""
    from ..models.stack import load_reward
    from ..scoring.quality import reward_quality

    settings = step.experiment.findings.cross_validation
    assert settings is not None
    pairs = _first(inputs[TESTS]["pairs"], settings.pairs)
    names = zip(*(pairs[name].to_pylist() for name in ("id", "question_id", "segment")), strict=True)
    place = {identity: (question, segment) for identity, question, segment in names}
    parts = []
    for seed, folder in _models(step, inputs, "reward_model", REWARDS).items():
        known, asked = tables.REWARD_QUALITY.empty_table(), pairs
        if seed == step.experiment.seed:
            known, asked = _known(inputs["reward_quality"], pairs)
        scored = reward_quality(load_reward(folder, step.device), asked, step.report)
        rows = pa.concat_tables([known, scored]).to_pylist()
        parts += [dict(zip(("question_id", "segment"), place[r["id"]], strict=True)) | r | {"seed": seed} for r in rows]
    return pa.Table.from_pylist(parts, schema=tables.SEGMENT_REWARDS)


def _known(made: pa.Table, wanted: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows of `made` that are wanted, and what is wanted beyond them."""
    known = made.filter(pc.is_in(made["id"], value_set=wanted["id"].combine_chunks()))
    return known, wanted.filter(pc.invert(pc.is_in(wanted["id"], value_set=known["id"].combine_chunks())))


def _first(rows: pa.Table, n: int | None) -> pa.Table:
    """The first n rows of each segment."""
    if n is None:
        return rows
    return pa.concat_tables(
        [rows.filter(pc.equal(rows["segment"], segment)).slice(0, n) for segment in ("sft", "preference", "rl")]
    )


def _models(step: Step, inputs: Inputs, own: str, replicas: str) -> dict[int, Path]:
    """Folder of each seed's model."""
    settings = step.experiment.findings.cross_validation
    assert settings is not None
    return {
        seed: inputs[own] / MODEL if seed == step.experiment.seed else inputs[replicas] / f"seed{seed}"
        for seed in settings.seeds
    }


def _finding(_step: Step, inputs: Inputs) -> "Finding":
    from ..findings.cross_validation import cross_validation

    return cross_validation(by_pm(inputs[RATED]), by_rm(inputs[COMPARED]))
