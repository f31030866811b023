"""Fig. 4 and 5: two policies answer the RL instructions; does the reward model prefer what people prefer?"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from .. import tables
from ..experiment import MATCHED, Experiment, Preference
from ._checks import has_rows
from ._finding_node import by_pm, by_rm, cells_of, finding_node
from ._node import Inputs, Node, Partition, Step
from ._shapes import QUALITY, rewards_node
from .baselines import candidates_table
from .models import MODEL, split_of
from .scores import _reuse

if TYPE_CHECKING:
    from ..findings import Finding

RESPONSES, ANSWERS = "preference_responses", "preference_answers"
REWARDS, VERDICTS = "preference_rewards", "preference_verdicts"
JUDGEMENTS = "preference_judgements"
EVIDENCE = (REWARDS, VERDICTS)
"""What `matched` and `matched_random` select by."""


def nodes(experiment: Experiment) -> list[Node]:
    """The assets and the findings; none where `findings.preference` is null."""
    settings = experiment.findings.preference
    if settings is None:
        return []
    found = [
        *_answer_nodes(settings),
        _reward_node(experiment, settings),
        _verdict_node(settings),
        finding_node(
            "preference_match", _match, (ANSWERS, *EVIDENCE, "reward_quality"), lambda e: (e.findings.preference,)
        ),
    ]
    if settings.annotations is not None:
        found += _annotation_nodes()
    if {"full", "matched"} <= set(experiment.methods):
        found.append(_less_is_more(experiment))
    return found


def outcomes_of(inputs: Inputs) -> dict[str, Any]:
    """Outcome by id (judging.match) of one reward model, from EVIDENCE."""
    from ..judging.match import outcomes

    return dict(outcomes(inputs[REWARDS], inputs[VERDICTS]))


def _answer_nodes(settings: Preference) -> list[Node]:
    return [
        Node(
            RESPONSES,
            QUALITY,
            "One row per RL train instruction that is compared: the policy's answer.",
            _respond,
            axis="pm",
            deps=("base_model", "policy_model", "rl_data"),
            settings=lambda e, _: (settings.questions, e.evaluation.model_dump(exclude={"questions", "batch_size"})),
            schema=tables.CANDIDATES,
            checks=(has_rows(),),
            cells=tuple((rank, 1) for rank in settings.policies),
            heavy=True,
        ),
        Node(
            ANSWERS,
            QUALITY,
            "One row per RL train instruction that is compared: the answers of two policies.",
            _pair_up,
            deps=(RESPONSES, "rl_data"),
            settings=lambda e, _: (settings.policies,),
            schema=tables.PREFERENCE_ANSWERS,
            checks=(has_rows(),),
        ),
    ]


def _reward_node(experiment: Experiment, settings: Preference) -> Node:
    cells = [(1, settings.reward)]
    cells += [(1, rm) for method in MATCHED for _, rm in experiment.runs.get(method, {})]
    return replace(rewards_node, group=QUALITY)(
        REWARDS,
        "One row per answer of two policies (index 1 and 2): its reward.",
        _reward,
        axis="rm",
        deps=("base_model", "reward_model", ANSWERS),
        cells=tuple(dict.fromkeys(cells)),
    )


def _verdict_node(settings: Preference) -> Node:
    return Node(
        VERDICTS,
        QUALITY,
        "One row per pair of answers: which one is preferred, by whom, and why a verdict is missing or a tie.",
        _decide,
        deps=(ANSWERS, "rl_data"),
        settings=_deciding,
        external=_annotated if settings.annotations else None,
        schema=tables.VERDICTS,
        checks=(has_rows(),),
        heavy=settings.source == "judge",
    )


def _annotation_nodes() -> list[Node]:
    def compute(_step: Step, inputs: Inputs) -> "Finding":
        from ..findings.annotation_agreement import annotation_agreement

        return annotation_agreement(inputs[JUDGEMENTS], inputs[ANSWERS]["id"].to_pylist())

    judgements = Node(
        JUDGEMENTS,
        QUALITY,
        "One row per person and pair: the standing judgement in the annotation file.",
        _read_judgements,
        settings=lambda e, _: (e.findings.preference.annotations if e.findings.preference else None,),
        external=_annotated,
        schema=tables.JUDGEMENTS,
    )
    return [judgements, finding_node("annotation_agreement", compute, (JUDGEMENTS, ANSWERS))]


def _read_judgements(step: Step, _inputs: Inputs) -> pa.Table:
    from ..judging.annotations import read_judgements

    return read_judgements(Path(_settings(step).annotations or ""))


def _settings(step: Step) -> Preference:
    settings = step.experiment.findings.preference
    assert settings is not None
    return settings


def _respond(step: Step, inputs: Inputs) -> pa.Table:
    from ..models.generate import generate
    from ..models.stack import load_policy

    evaluation = step.experiment.evaluation
    rows = split_of(inputs["rl_data"], "train").slice(0, _settings(step).questions)
    written = generate(
        load_policy(inputs["policy_model"] / MODEL, step.device),
        rows["instruction"].to_pylist(),
        max_new_tokens=evaluation.max_new_tokens,
        temperature=evaluation.temperature,
        batch_size=evaluation.batch_size,
        progress=step.report,
    )
    return candidates_table(rows["id"], [0] * len(rows), [answer.text for answer in written], "policy answer")


def _pair_up(step: Step, inputs: Inputs) -> pa.Table:
    first, second = _settings(step).policies
    written = by_pm(inputs[RESPONSES])
    rows = split_of(inputs["rl_data"], "train").slice(0, len(written[first]))
    assert rows["id"].to_pylist() == written[first]["id"].to_pylist() == written[second]["id"].to_pylist()
    columns = {
        "id": rows["id"],
        "instruction": rows["instruction"],
        "response_1": written[first]["candidate"],
        "response_2": written[second]["candidate"],
        "policy_1": pa.array([first] * len(rows), pa.int32()),
        "policy_2": pa.array([second] * len(rows), pa.int32()),
    }
    return pa.table(columns, schema=tables.PREFERENCE_ANSWERS)


def _reward(step: Step, inputs: Inputs) -> pa.Table:
    from ..models.stack import load_reward
    from ..scoring.items import pair_items
    from ..scoring.reward import score_rewards

    rm = load_reward(inputs["reward_model"] / MODEL, step.device)
    with _reuse(step, inputs["reward_model"], rm.model) as reuse:
        return score_rewards(rm, pair_items(inputs[ANSWERS]), step.experiment.scoring, step.report, reuse=reuse)


def _deciding(e: Experiment, _partition: Partition) -> tuple[Any, ...]:
    from ..judging.pairwise import SHIPPED
    from ..llm.template import template_hash

    settings = e.findings.preference
    assert settings is not None
    if settings.source != "judge":
        return (settings.source,)
    judge = e.judge.model_dump(mode="json", exclude={"template"})
    return (settings.source, judge, template_hash(settings.template, *SHIPPED) if e.judge.kind == "openai" else None)


def _annotated(e: Experiment) -> str:
    """Hash of the annotations; empty where there are none."""
    settings = e.findings.preference
    assert settings is not None
    if settings.annotations is None:
        return ""
    path = Path(settings.annotations)
    files = [part for part in (path, path.with_name(f"{path.name}-wal")) if part.is_file()]
    return hashlib.sha256(b"\0".join(part.read_bytes() for part in files)).hexdigest() if files else "absent"


def _decide(step: Step, inputs: Inputs) -> pa.Table:
    answers, settings = inputs[ANSWERS], _settings(step)
    if settings.annotations is not None:
        from ..judging.annotations import verdicts_of

        return verdicts_of(Path(settings.annotations), answers["id"].to_pylist(), answers)
    from ..experiment import Judge
    from ..judging.pairwise import make_pair_judge, verdicts

    asked = Judge(kind="gold") if settings.source == "gold" else step.experiment.judge
    rate = step.world.rate if asked.kind == "gold" else None
    judge = make_pair_judge(
        asked,
        rate=rate,
        cache_path=step.replies,
        template=settings.template,
        device=step.device,
        used=step.note_usage,
    )
    rows = inputs["rl_data"]
    golden = dict(zip(rows["id"].to_pylist(), rows["golden_response"].to_pylist(), strict=True))
    return verdicts(answers, golden, judge, step.report)


def _match(step: Step, inputs: Inputs) -> "Finding":
    from ..findings.preference_match import preference_match

    settings = _settings(step)
    gold = None
    if step.experiment.data.source == "testbed":
        rows = inputs[ANSWERS].to_pylist()
        rate = step.world.rate
        gold = {
            r["id"]: rate(r["instruction"], r["response_1"]) - rate(r["instruction"], r["response_2"]) for r in rows
        }
    rank = settings.reward
    rewards, quality = (by_rm(inputs[name])[rank] for name in (REWARDS, "reward_quality"))
    return preference_match(inputs[ANSWERS], rewards, inputs[VERDICTS], reward_rank=rank, quality=quality, gold=gold)


def _less_is_more(experiment: Experiment) -> Node:
    methods = [method for method in ("full", *MATCHED) if method in experiment.methods]
    rows = {method: f"rlhf_quality_{method}_by_policy" for method in methods}

    def compute(_step: Step, inputs: Inputs) -> "Finding":
        from ..findings.less_is_more import less_is_more

        answers: Mapping[str, Any] = {method: cells_of(inputs[name]) for method, name in rows.items()}
        rewards = by_rm(inputs[REWARDS])
        outcomes = {rm: outcomes_of({REWARDS: table, VERDICTS: inputs[VERDICTS]}) for rm, table in rewards.items()}
        return less_is_more(answers, outcomes, len(split_of(inputs["rl_data"], "train")))

    return finding_node("less_is_more", compute, (*rows.values(), *EVIDENCE, "rl_data"))
