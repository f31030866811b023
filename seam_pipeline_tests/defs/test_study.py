import json
from pathlib import Path

import pytest

from seam_pipeline.defs._node import Partition
from seam_pipeline.defs.graph import build_study
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import load_experiment

SNAPSHOT = Path(__file__).with_name("graph.json")


def test_the_graph_is_the_documented_one() -> None:
    study = build_study(load_experiment("smoke"))
    graph = {n.name: {"axis": n.axis, "group": n.group, "deps": list(n.deps)} for n in study.order}
    assert graph == json.loads(SNAPSHOT.read_text()), "the asset graph changed; if on purpose, write graph.json anew"


def test_every_asset_says_what_a_row_is() -> None:
    for node in build_study(load_experiment("smoke")).order:
        assert node.description.startswith(("One ", "The base", "Finding: ")), node.name


def test_partitions_map_by_rank_and_cell() -> None:
    study = build_study(load_experiment("smoke"))
    scores, reward = study.nodes["seam_scores_llm"], study.nodes["reward_model"]
    assert study.upstream(scores, Partition(2, 1), "candidate_likelihoods_llm") == (Partition(pm=2),)
    assert study.upstream(scores, Partition(2, 1), "candidate_rewards_llm") == (Partition(rm=1),)
    assert study.upstream(reward, Partition(rm=2), "policy_model") == (Partition(pm=2),)
    row = study.nodes["rlhf_quality_full_by_policy"]
    assert study.upstream(row, Partition(pm=2), "rlhf_quality_full") == (Partition(2, 2),)
    worst = study.nodes["worst_instructions"]
    assert study.upstream(worst, Partition(), "seam_scores_llm") == (Partition(1, 1),)


def test_no_fan_in_of_the_paper_reaches_a_hundred() -> None:
    study = build_study(load_experiment("paper"))
    for node in study.order:
        for partition in study.wanted(node):
            for dep in node.deps:
                assert len(study.upstream(node, partition, dep)) < 100, (node.name, dep)


def test_keys_round_trip() -> None:
    for partition in (Partition(), Partition(pm=1), Partition(rm=12), Partition(3, 10)):
        assert Partition.parse(partition.key) == partition
    assert Partition(3, 10).key == "pm03|rm10"


def test_selections() -> None:
    study = build_study(load_experiment("smoke"))
    assert study.selected("posts") == {"posts"}
    assert study.selected("+sft_data") == {"posts", "question_answers", "sft_data"}
    assert "report" in study.selected("rl_data+")
    assert study.selected("group:3_candidates") == {"contrast_candidates", "llm_candidates", "adversarial_candidates"}
    assert "rlhf_policy_full" in study.selected("rlhf_policy_*")
    with pytest.raises(SeamError, match="--select nothing: no such asset in smoke"):
        study.selected("nothing")
