"""The plan of section 8's cycles: shares of an offline run, a reward model per seed."""

import pytest

from seam_pipeline.experiment import Experiment, load_experiment
from seam_pipeline.planning._cost import cost_of
from seam_pipeline.planning._size import data_size, model_size
from seam_pipeline.store import Store


def test_cycles_cost_their_shares(tmp_path) -> None:
    plain = load_experiment("smoke").model_dump(mode="json")
    plain["findings"] = {"cycles": {"cycles": 2, "seeds": [0, 1]}}
    e = Experiment.model_validate(plain | {"rl": {**plain["rl"], "arms": [
        {"methods": ["full"], "cells": [[1, 1]], "seeds": [0, 1]}]}})  # fmt: skip
    data, size = data_size(e, Store(str(tmp_path))), model_size(e.base)
    assert size is not None

    def cost(name: str, runs: int = 0):
        return cost_of(name, e, data, size, 1, 1, runs)

    both = cost("cycle1_policy_random").trained + cost("cycle2_policy_random").trained
    assert both == pytest.approx(cost("rlhf_policy_full", runs=2).trained)
    reward = cost("reward_model").trained
    assert cost("cycle1_reward_full").trained == pytest.approx(2 * reward * (24 + data.rl_train / 2) / 24)
    once = cost("candidate_rewards_contrast").scored
    assert cost("cycle1_scores_full").scored == pytest.approx(once)
    assert cost("cycle2_scores_full").scored == pytest.approx(2 * once)
    assert cost("cycle1_selected_full").trained == cost("cycles").scored == 0
