"""Where speeds come from: the user, the store's records, assumptions; on the testbed's graph with known times."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from seam_pipeline.cli._plan import plan as command
from seam_pipeline.defs._node import Partition
from seam_pipeline.defs._stale import Task
from seam_pipeline.defs._study import Study
from seam_pipeline.defs.graph import build_study
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Experiment, Throughput, load_experiment
from seam_pipeline.planning import Planner, expected_seconds, make_plan, plan_lines, read_throughput
from seam_pipeline.planning._estimate import FIXED_SECONDS
from seam_pipeline.store import Record, Store, write_payload

BEST, SECOND = Partition(pm=1), Partition(pm=2)


@pytest.fixture(scope="module")
def study() -> Study:
    return build_study(load_experiment("testbed"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


def made(store: Store, asset: str, partition: str | None, seconds: float, **notes: float) -> None:
    write_payload(store.stage(asset, partition, "r"), {"a": 1})
    version = store.hash_staged(asset, partition)
    store.commit(Record(asset, partition, "testbed", "json", version, "r", {}, (), seconds, notes))


def test_without_records_all_is_assumed(study: Study, store: Store) -> None:
    rates = Planner(study, store).rates
    assert {rate.source for rate in rates.values()} == {"assumed"}
    assert "rl" not in rates


def test_records_give_speeds_and_say_so(study: Study, store: Store) -> None:
    made(store, "candidate_likelihoods_llm", "pm01", 4.0, tokens_computed=10_000)
    made(store, "candidate_rewards_llm", "rm01", 6.0, tokens_computed=20_000)
    made(store, "adversarial_candidates", "rm01", 5.0, reward_queries=2000)
    planner = Planner(study, store)
    assert planner.rates["score"].per_second == 3000
    assert planner.rates["score"].words == "30,000 tokens of 2 artifacts in 10 s, their starts included"
    assert planner.rates["attack"].per_second == 400
    estimate = planner.estimate(study.nodes["candidate_likelihoods_contrast"], BEST)
    assert estimate.device_seconds == pytest.approx(estimate.cost.scored / 3000)
    assert estimate.seconds == pytest.approx(estimate.device_seconds + FIXED_SECONDS)


def test_an_artifact_takes_as_long_again_and_its_siblings_in_proportion(study: Study, store: Store) -> None:
    made(store, "policy_model", "pm01", 140.0)
    planner, node = Planner(study, store), study.nodes["policy_model"]
    assert planner.estimate(node, BEST).seconds == 140.0 + FIXED_SECONDS
    # 500 examples against 1400
    assert planner.estimate(node, SECOND).device_seconds == pytest.approx(140 * 500 / 1400)
    made(store, "selected_full", "pm01|rm01", 0.7)
    assert Planner(study, store).estimate(study.nodes["selected_full"], Partition(2, 2)).seconds == pytest.approx(
        0.7 + FIXED_SECONDS
    )
    task = Task(node, BEST, "")
    assert expected_seconds(study, store, [task]) == {"policy_model [pm01]": 140.0 + FIXED_SECONDS}


def test_rl_is_timed_by_its_steps(study: Study, store: Store) -> None:
    made(store, "rlhf_policy_random", "pm01|rm01", 56.0)  # two seeds of 14 steps
    planner = Planner(study, store)
    assert planner.rates["rl"].per_second == 0.5
    assert planner.estimate(study.nodes["rlhf_policy_full"], Partition(2, 2)).device_seconds == pytest.approx(14 / 0.5)


def test_what_the_user_gives_comes_first(study: Study, store: Store) -> None:
    made(store, "candidate_likelihoods_llm", "pm01", 4.0, tokens_computed=10_000)
    given = [Throughput(device="my card", score_tokens_per_second=100, rl_steps_per_minute=6)]
    planner = Planner(study, store, given, "FILE")
    assert (planner.rates["score"].per_second, planner.rates["score"].words) == (100, "my card")
    estimate = planner.estimate(study.nodes["candidate_likelihoods_llm"], BEST)
    assert estimate.device_seconds == pytest.approx(estimate.cost.scored / 100)
    assert planner.estimate(study.nodes["rlhf_policy_full"], Partition(2, 2)).device_seconds == pytest.approx(140)
    assert planner.rates["train"].source == "assumed"


def test_speeds_of_another_size_are_scaled() -> None:
    study = build_study(load_experiment("paper"))
    given = [
        Throughput(parameters=13e9, train_tokens_per_second=700, embed_texts_per_second=9),
        Throughput(parameters=1e9, train_tokens_per_second=1),
    ]
    rates = Planner(study, Store("/nowhere"), given, "FILE").rates
    assert rates["train"].per_second == pytest.approx(700 * 13 / 7)
    assert rates["train"].words == "FILE, from 13 G parameters"
    assert rates["embed"].per_second == 9


def changed(experiment: Experiment, **compute: object) -> Study:
    update = {"compute": type(experiment.compute)(**{**experiment.compute.model_dump(), **compute})}
    return build_study(experiment.model_copy(update=update))


def test_several_processes_share_a_training_and_cost_as_much(store: Store) -> None:
    paper = load_experiment("paper")
    one, four = build_study(paper), changed(paper, launcher="accelerate", processes=4)
    a, b = (Planner(s, store).estimate(s.nodes["policy_model"], BEST) for s in (one, four))
    assert a.device_seconds == b.device_seconds
    assert b.seconds - FIXED_SECONDS == pytest.approx((a.seconds - FIXED_SECONDS) / 4)
    likelihoods = "candidate_likelihoods_llm"
    a, b = (Planner(s, store).estimate(s.nodes[likelihoods], BEST) for s in (one, four))
    assert a.seconds == b.seconds
    made(store, "policy_model", "pm01", 100.0)
    assert Planner(four, store).estimate(four.nodes["policy_model"], BEST).device_seconds == 400


def test_the_experiment_can_hold_them(store: Store) -> None:
    study = changed(load_experiment("paper"), throughput=[{"llm_calls_per_minute": 60}])
    estimate = Planner(study, store).estimate(study.nodes["policy_quality"], BEST)
    assert estimate.seconds - estimate.device_seconds == pytest.approx(1000 + FIXED_SECONDS)


def test_batches_wait_apart(store: Store) -> None:
    paper = load_experiment("paper")
    assert paper.judge.endpoint is not None
    endpoint = paper.judge.endpoint.model_copy(update={"mode": "batch", "max_dollars": 1.0})
    study = build_study(paper.model_copy(update={"judge": paper.judge.model_copy(update={"endpoint": endpoint})}))
    planner = Planner(study, store)
    estimate = planner.estimate(study.nodes["policy_quality"], BEST)
    assert estimate.batches == 1
    assert estimate.seconds == pytest.approx(estimate.device_seconds + FIXED_SECONDS)
    text = "\n".join(plan_lines(make_plan(planner, [Task(study.nodes["policy_quality"], BEST, "missing")])))
    assert "and 1 LLM batches of up to a day" in text
    # 1,000 calls: 571 tokens in at 30, 150 out at 60 dollars per million, half price
    assert "about 13.06 dollars, batches at 0.5 of the price; MORE than the budget of 1.00" in text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("score_tokens: 5", "score_tokens: Extra inputs are not permitted; keys: device, parameters, train_tokens"),
        ("- {score_tokens_per_second: -1}", "score_tokens_per_second: Input should be greater than 0"),
        ("hello", "must hold keys such as score_tokens_per_second"),
        ("[]", "must hold keys such as"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "speeds.yaml"
    file.write_text(text)
    with pytest.raises(SeamError, match="speeds.yaml.*" + problem.replace(".", r"\.")):
        read_throughput(file)
    with pytest.raises(SeamError, match="cannot be read"):
        read_throughput(tmp_path / "none.yaml")


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEAM_HOME", str(tmp_path))
    speeds = tmp_path / "speeds.yaml"
    speeds.write_text("device: one H100\nscore_tokens_per_second: 30000\n")
    arguments = ["-e", "paper", "--by", "group", "--throughput", str(speeds), "--json", str(tmp_path / "plan.json")]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "Scoring: 30,000 tokens/s, given: one H100." in result.output
    assert (tmp_path / "plan.json").read_text().startswith("{")
