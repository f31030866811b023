from hypothesis import given
from hypothesis import strategies as st

from seam_pipeline.data._rank import rank_answers


def test_a_chain_with_a_tie() -> None:
    # 0 > 1 > 2 and 0 > 3 > 2: 1 and 3 share a level
    assert rank_answers(4, [(0, 1), (1, 2), (0, 3), (3, 2)]).level == [2, 1, 0, 1]


def test_unranked_answers_are_left_out() -> None:
    # 0 > 1 > 2, and 3 > 2 says nothing about 3 against 0 or 1
    assert rank_answers(4, [(0, 1), (1, 2), (3, 2)]).level == [2, 1, 0, None]


def test_two_unrelated_pairs_keep_one() -> None:
    assert rank_answers(4, [(0, 1), (2, 3)]).level == [1, 0, None, None]


def test_lone_answers_are_equal() -> None:
    assert rank_answers(3, []).level == [0, 0, 0]
    assert rank_answers(0, []).level == []


def test_contradictions_are_dropped() -> None:
    ranks = rank_answers(3, [(0, 1), (1, 0), (0, 2), (1, 2)])
    assert ranks == ([1, 1, 0], 2)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)).filter(lambda p: p[0] != p[1]), max_size=15))
def test_no_order_is_invented(pairs: list[tuple[int, int]]) -> None:
    level, contradictions = rank_answers(7, pairs)
    reach = {(a, b) for a, b in pairs}
    for _ in range(7):
        reach |= {(a, d) for a, b in reach for c, d in reach if b == c}
    cyclic = sum((b, a) in reach for a, b in pairs)
    assert contradictions == cyclic
    for a, upper in enumerate(level):
        for b, lower in enumerate(level):
            if upper is not None and lower is not None and upper > lower:
                assert (a, b) in reach


@given(st.lists(st.integers(0, 3), min_size=1, max_size=7))
def test_a_full_comparison_is_recovered(votes: list[int]) -> None:
    pairs = [(a, b) for a in range(len(votes)) for b in range(len(votes)) if votes[a] > votes[b]]
    dense = sorted(set(votes))
    assert rank_answers(len(votes), pairs).level == [dense.index(v) for v in votes]
