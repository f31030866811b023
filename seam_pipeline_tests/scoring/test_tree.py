import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention.flex_attention import BlockMask

from seam_pipeline.scoring._batches import packed_batches, padded_batches
from seam_pipeline.scoring._blocks import blocks_of
from seam_pipeline.scoring._flex import flex_of
from seam_pipeline.scoring._tokens import cut_left
from seam_pipeline.scoring._tree import grow, lexicographic, narrow

sequences = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=12)


def arrays(lists: list[list[int]]) -> list[np.ndarray]:
    return [np.array(ids, np.int64) for ids in lists]


def test_shared_beginnings_are_one_path() -> None:
    tree = grow(arrays([[5, 6, 7], [5, 6, 8, 9], [5, 6, 8, 9], [4]]))
    assert tree.tokens.tolist() == [5, 6, 7, 8, 9, 4]
    assert tree.depths.tolist() == [0, 1, 2, 2, 3, 0]
    assert tree.ends.tolist() == [5, 5, 3, 5, 5, 6]
    assert [path.tolist() for path in tree.paths] == [[0, 1, 2], [0, 1, 3, 4], [0, 1, 3, 4], [5]]
    assert [(s.start, s.length) for s in tree.segments] == [(0, 3), (2, 2), (0, 1)]


@given(sequences)
@settings(max_examples=60, deadline=None)
def test_a_tree_holds_its_sequences_and_each_prefix_once(lists: list[list[int]]) -> None:
    given_ = arrays(lists)
    tree = grow([given_[place] for place in lexicographic(given_)])
    for place, path in zip(lexicographic(given_), tree.paths, strict=True):
        assert tree.tokens[path].tolist() == lists[place]
        assert tree.depths[path].tolist() == list(range(len(path)))
    assert len(tree.tokens) == len({tuple(ids[: n + 1]) for ids in lists for n in range(len(ids))})


@given(sequences)
@settings(max_examples=60, deadline=None)
def test_blocks_let_each_node_see_its_ancestors_and_itself_once(lists: list[list[int]]) -> None:
    tree = grow(arrays(lists))
    seen: dict[int, list[int]] = {}
    for block in blocks_of(tree.segments, torch.device("cpu")):
        width = block.queries.shape[1]
        for spot, node in zip(block.taken.tolist(), block.nodes.tolist(), strict=True):
            row, query = divmod(spot, width)
            assert node not in seen
            seen[node] = block.keys[row][block.mask[row, 0, query]].tolist()
        assert block.mask[:, 0, :, 0].all()  # padded queries see something: no NaN
    ancestors = {int(path[n]): path[: n + 1].tolist() for path in tree.paths for n in range(len(path))}
    assert seen == ancestors


@given(sequences)
@settings(max_examples=60, deadline=None)
def test_ends_tell_who_is_an_ancestor(lists: list[list[int]]) -> None:
    tree = grow(arrays(lists))  # in any order: a tree that shares less is in depth-first order as well
    for path in tree.paths:
        for place, node in enumerate(path.tolist()):
            above = [j for j in range(len(tree.tokens)) if j <= node < tree.ends[j]]
            assert above == path[: place + 1].tolist()


@given(sequences, st.integers(1, 6))
@settings(max_examples=60, deadline=None)
def test_narrowed_trees_ask_for_what_is_read(lists: list[list[int]], last: int) -> None:
    tree = grow(arrays(lists))
    first = [max(0, len(ids) - last) for ids in lists]
    nodes, segments = narrow(tree, first)
    read = {int(node) for path, place in zip(tree.paths, first, strict=True) for node in path[place:]}
    asked = [int(node) for segment in segments for node in segment.path[segment.start :]]
    assert nodes.tolist() == sorted(read)
    assert len(asked) == len(set(asked))
    assert read <= set(asked)


@given(sequences, st.integers(1, 70))
@settings(max_examples=30, deadline=None)
def test_tiles_hold_exactly_what_may_be_seen(lists: list[list[int]], stretch: int) -> None:
    tree = grow([np.repeat(ids, stretch) for ids in arrays(lists)])
    flex = flex_of(tree.ends, torch.device("cpu"))
    node = torch.arange(flex.size)
    seen = flex.mask.mask_mod(torch.tensor(0), torch.tensor(0), node[:, None], node[None, :])
    tiles = seen.reshape(flex.size // 128, 128, -1, 128).transpose(1, 2).flatten(2)
    assert seen.diagonal().all()
    listed = [_listed(counts, order) for counts, order in partial_and_full(flex.mask)]
    assert torch.equal(listed[0] | listed[1], tiles.any(-1))
    assert not (listed[1] & ~tiles.all(-1)).any()


def partial_and_full(mask: BlockMask) -> list[tuple[torch.Tensor, torch.Tensor]]:
    assert mask.full_kv_num_blocks is not None
    assert mask.full_kv_indices is not None
    return [(mask.kv_num_blocks, mask.kv_indices), (mask.full_kv_num_blocks, mask.full_kv_indices)]


def _listed(counts: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    tiles = torch.zeros(order.shape[-1], order.shape[-1], dtype=torch.bool)
    for row, (count, places) in enumerate(zip(counts[0, 0].tolist(), order[0, 0], strict=True)):
        tiles[row, places[:count].long()] = True
    return tiles


@given(st.lists(st.just([]) | sequences, min_size=1, max_size=4), st.integers(4, 40))
@settings(max_examples=60, deadline=None)
def test_packed_batches_hold_everything_once_within_the_budget(groups: list[list[list[int]]], budget: int) -> None:
    found = [arrays(group) for group in groups]
    batches = packed_batches(found, budget)
    members = [member for batch in batches for member in batch]
    assert sorted(members) == [(g, place) for g, group in enumerate(found) for place in range(len(group))]
    for batch in batches:
        nodes = len(grow([found[g][place] for g, place in batch]).tokens)
        assert nodes <= budget or len(batch) == 1


def test_a_group_that_fits_is_not_split() -> None:
    big, small = arrays([[1, 1, 1, 2], [1, 1, 1, 3], [1, 1, 1, 4]]), arrays([[2, 1], [2, 2]])
    assert packed_batches([small, big], 8) == [[(1, 0), (1, 1), (1, 2)], [(0, 0), (0, 1)]]
    assert packed_batches([small, big], 9) == [[(1, 0), (1, 1), (1, 2), (0, 0), (0, 1)]]
    assert packed_batches([big], 5) == [[(0, 0), (0, 1)], [(0, 2)]]


def test_padded_batches_are_sorted_and_within_the_budget() -> None:
    groups = [arrays([[1] * 3, [1] * 8]), arrays([[1] * 7, [1] * 2])]
    assert padded_batches(groups, 16, None) == [[(0, 1), (1, 0)], [(0, 0), (1, 1)]]
    assert padded_batches(groups, 16, 6) == [[(0, 1)], [(1, 0)], [(0, 0), (1, 1)]]
    assert padded_batches(groups, 1, None) == [[(0, 1)], [(1, 0)], [(0, 0)], [(1, 1)]]


def test_cutting_keeps_leading_specials_and_a_token() -> None:
    assert cut_left([1, 5, 6, 7], 3, {1}) == ([1, 6, 7], 1)
    assert cut_left([1, 5, 6, 7], None, {1}) == ([1, 5, 6, 7], 0)
    assert cut_left([1, 5, 6, 7], 4, {1}) == ([1, 5, 6, 7], 0)
    assert cut_left([1, 5, 6, 7], 1, {1}) == ([1, 7], 2)
    assert cut_left([5, 6, 7], 2, {1}) == ([6, 7], 1)
