"""Prompt order, random streams and grouping by length."""

import pytest
import torch

from seam_pipeline.errors import SeamError
from seam_pipeline.training._ppo_prompts import fitting, length_groups, response_limits, stream


def pool(count: int, seed: int = 0):
    return fitting([f"q{i}" for i in range(count)], [[1] * (i + 1) for i in range(count)], 100, seed)


def test_streams_depend_on_their_path_alone():
    draws = [
        torch.rand(3, generator=stream(*path)).tolist() for path in ((0, "a", 1), (0, "a", 1), (0, "a", 2), (1, "a", 1))
    ]
    assert draws[0] == draws[1]
    assert len({tuple(draw) for draw in draws}) == 3


def test_every_pass_is_another_permutation():
    prompts = pool(10)
    series = [i for step in range(5) for i in prompts.batch(step, 4)]
    assert sorted(series[:10]) == sorted(series[10:]) == list(range(10))
    assert series[:10] != series[10:]
    assert series != [i for step in range(5) for i in pool(10, seed=1).batch(step, 4)]


def test_a_batch_larger_than_the_pool_runs_through_several_passes():
    batch = pool(3).batch(2, 8)
    assert len(batch) == 8
    assert {batch.count(i) for i in range(3)} <= {2, 3}


def test_long_prompts_are_left_out_and_counted():
    prompts = fitting(["a", "b", "c"], [[1] * 3, [1] * 9, [1] * 4], 4, 0)
    assert (prompts.instructions, prompts.too_long) == (("a", "c"), 1)


@pytest.mark.parametrize(
    ("instructions", "ids", "words"), [([], [], "no prompts"), (["a"], [[1] * 9], "All 1 prompts")]
)
def test_nothing_to_train_on_is_said(instructions, ids, words):
    with pytest.raises(SeamError, match=words):
        fitting(instructions, ids, 4, 0)


def test_sampled_lengths_cover_both_ends():
    limits = response_limits(stream(0), 2000, 3, 6)
    assert sorted(set(limits.tolist())) == [3, 4, 5, 6]
    assert abs(limits.double().mean().item() - 4.5) < 0.1


def test_groups_partition_the_rows_by_length():
    lengths = [5, 100, 7, 90, 6, 8, 95, 5]
    groups = length_groups(lengths, most_rows=8, overhead=10)
    assert sorted(i for group in groups for i in group) == list(range(8))
    assert [sorted(group) for group in groups] == [[1, 3, 6], [0, 2, 4, 5, 7]]
    assert all(len(group) <= 2 for group in length_groups(lengths, most_rows=2, overhead=10))
    assert len(length_groups(lengths, most_rows=8, overhead=10_000)) == 1
