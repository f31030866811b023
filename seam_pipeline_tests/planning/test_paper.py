"""The paper's study, by hand: 180 + 8 prompt and 340 response tokens, 9,840 RL instructions, 7 G parameters."""

import json
from pathlib import Path

import pytest

from seam_pipeline.defs._node import Partition
from seam_pipeline.defs._stale import stale_tasks
from seam_pipeline.defs._study import Study
from seam_pipeline.defs.graph import build_study
from seam_pipeline.experiment import load_experiment
from seam_pipeline.planning import Plan, Planner, make_plan, plan_dict, plan_lines
from seam_pipeline.planning._plan import Row
from seam_pipeline.store import Store

PROMPT, RESPONSE = 188, 340
TEXT = PROMPT + RESPONSE


@pytest.fixture(scope="module")
def study() -> Study:
    return build_study(load_experiment("paper"))


@pytest.fixture(scope="module")
def planner(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Planner:
    return Planner(study, Store(str(tmp_path_factory.mktemp("empty"))))


@pytest.fixture(scope="module")
def plan(study: Study, planner: Planner, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    store = Store(str(tmp_path_factory.mktemp("nothing")))
    return make_plan(planner, stale_tasks(study, store, set(study.nodes)))


def row(plan: Plan, name: str) -> Row:
    return next(row for row in plan.rows if row.name == name)


def test_policies(plan: Plan) -> None:
    examples = 10000 + 5000 + 2500 + 1500 + 800 + 500 + 250 + 100 + 50
    estimate = row(plan, "policy_model").estimate
    assert estimate.cost.trained == examples * TEXT == 10_929_600
    # 4 x 7 G operations per token at 120 TFLOP/s
    assert estimate.device_seconds == pytest.approx(10_929_600 * 28e9 / 120e12)
    assert estimate.cost.models == 9  # rank 10 is the base


def test_reward_models(plan: Plan) -> None:
    pairs = 100_000 + 50_000 + 20_000 + 10_000 + 5000 + 2500 + 500 + 100 + 50
    estimate = row(plan, "reward_model").estimate
    assert estimate.cost.trained == 2 * pairs * TEXT == 198_686_400
    # LoRA r 8 on q and v of 32 layers, 4096 wide, float32: 16.8 MB; nine of their own, ten copies of the policy's
    adapter = 4 * 8 * 2 * 4096 * 2 * 32
    assert estimate.cost.disk == (9 + 10) * adapter


def test_ppo_of_the_best_pair(study: Study, planner: Planner) -> None:
    estimate = planner.estimate(study.nodes["rlhf_policy_full"], Partition(1, 1))
    episodes = 3 * 200 * 32  # seeds, steps, batch
    length = (32 + 128) / 2
    assert estimate.cost.trained == episodes * 4 * (PROMPT + length) == 20_582_400
    assert estimate.cost.written == episodes * length
    assert estimate.cost.scored == episodes * (3 * (PROMPT + length) + PROMPT)
    assert estimate.cost.rl_steps == 600
    assert estimate.cost.models == 3
    # training, scoring at 2 N, and 64 answers per 32 ms (one per layer) of generation
    expected = (20_582_400 * 28e9 + estimate.cost.scored * 14e9) / 120e12 + episodes * length * 0.032 / 64
    assert estimate.device_seconds == pytest.approx(expected)


def test_likelihoods_of_one_policy(study: Study, planner: Planner) -> None:
    estimate = planner.estimate(study.nodes["candidate_likelihoods_llm"], Partition(pm=1))
    assert estimate.cost.scored == 9840 * (PROMPT + 30 * 128)
    assert estimate.device_seconds == pytest.approx(9840 * (PROMPT + 30 * 128) * 14e9 / 120e12)


def test_the_judge_and_the_writer_are_priced_apart(study: Study, planner: Planner, plan: Plan) -> None:
    estimate = planner.estimate(study.nodes["rlhf_quality_full"], Partition(1, 1))
    assert estimate.cost.llm_calls == 3 * 1000
    assert estimate.cost.llm_input == 3000 * (PROMPT + 128 + 255)
    assert estimate.cost.llm_output == 3000 * 150
    asked = {asked.who: asked for asked in plan.asked}
    writer = asked["candidates"]
    assert (writer.calls, writer.prompt_tokens, writer.reply_tokens) == (9840, 9840 * (TEXT + 350), 9840 * 4096)
    assert writer.dollars == pytest.approx(9840 * ((TEXT + 350) * 30 + 4096 * 60) / 1e6)
    assert asked["judge"].endpoint.max_tokens == 512
    assert asked["judge"].calls == sum(row.estimate.cost.llm_calls for row in plan.rows) - 9840


def test_pairs_are_asked_in_both_orders(study: Study, planner: Planner) -> None:
    verdicts = planner.estimate(study.nodes["preference_verdicts"], Partition()).cost
    assert verdicts.llm_calls == 2 * 1000
    assert verdicts.llm_input == 2000 * (PROMPT + 2 * 128 + 312)
    answers = planner.estimate(study.nodes["preference_responses"], Partition(pm=5)).cost
    assert (answers.scored, answers.written) == (1000 * PROMPT, 1000 * 128)
    rewards = planner.estimate(study.nodes["preference_rewards"], Partition(rm=1)).cost
    assert rewards.scored == 1000 * (PROMPT + 2 * 128)


def test_attacks_are_bounded_by_their_queries(plan: Plan) -> None:
    assert row(plan, "adversarial_candidates").estimate.cost.queries == 10 * (9840 * (1 + 600 * 5) + 2 * 200)


def test_merged_copies_take_what_the_paper_saw(plan: Plan) -> None:
    at_7b = [row for row in plan.rows if "_model_" not in row.name]
    assert plan.merged_bytes >= sum(row.estimate.cost.models for row in at_7b) * 14e9
    assert plan.total.cost.disk < 0.01 * plan.merged_bytes


def test_it_reads_well_and_is_the_same_as_json(plan: Plan) -> None:
    text = "\n".join(plan_lines(plan))
    assert max(map(len, text.splitlines())) < 200
    for words in (
        "GPU h",
        "rlhf_policy_*",
        "LLM, candidates:",
        "LLM, judge:",
        "dollars",
        "as merged copies",
        "assumed:",
    ):
        assert words in text
    found = json.loads(json.dumps(plan_dict(plan)))
    assert found["total"]["device_seconds"] == pytest.approx(sum(s["device_seconds"] for s in found["stages"]))
    assert found["total"]["disk"] == pytest.approx(sum(g["disk"] for g in found["groups"].values()))
    assert {entry["who"] for entry in found["llm"]} == {"candidates", "judge"}


def test_nothing_to_do(planner: Planner) -> None:
    assert list(plan_lines(make_plan(planner, [])))[-1] == "Everything is up to date: nothing would run."


def test_groups_follow_the_study(plan: Plan) -> None:
    assert list(plan.groups) == sorted(plan.groups)
    assert [row.group for row in plan.rows] == sorted(row.group for row in plan.rows)


def test_stages_are_methods_variants_rates_and_bases_together(plan: Plan) -> None:
    names = [row.name for row in plan.rows]
    assert len(names) == len(set(names)) < 60
    for name in ("rlhf_policy_*", "candidate_rewards_*", "seam_scores_*", "policy_model", "dpo_policy", "*_by_policy"):
        assert name in names


def test_a_line_per_artifact_adds_up(study: Study, planner: Planner, plan: Plan, tmp_path: Path) -> None:
    one_by_one = make_plan(planner, stale_tasks(study, Store(str(tmp_path)), set(study.nodes)), "artifact")
    assert len(one_by_one.rows) == one_by_one.artifacts
    assert sum(row.estimate.seconds for row in one_by_one.rows) == pytest.approx(plan.total.seconds)
