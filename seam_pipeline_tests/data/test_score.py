import math
from fractions import Fraction

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seam_pipeline.data._score import SCORE_SQL, answer_score


@pytest.mark.parametrize(
    ("votes", "accepted", "score"),
    # log2(1 + votes): 1 -> 0; 2 -> 1; 3 -> 1.58; 4 -> 2; 5 -> 2.32; 6 -> 2.58; 11 -> 3.46; 12 -> 3.58; 101 -> 6.66
    [
        (0, False, 0),
        (1, False, 1),
        (2, False, 2),
        (3, False, 2),
        (4, False, 2),
        (5, False, 3),
        (10, False, 3),
        (11, False, 4),
        (100, False, 7),
        (0, True, 1),
        (5, True, 4),
        (-1, False, -1),
        (-7, True, -1),
    ],
)
def test_hand_computed(votes: int, accepted: bool, score: int) -> None:
    assert answer_score(votes, accepted) == score


@given(st.integers(0, 10**15))
def test_is_the_nearest_whole_number(votes: int) -> None:
    score = answer_score(votes, accepted=False)
    # |log2(1 + votes) - score| <= 1/2, squared so that it is exact
    ratio = Fraction((1 + votes) ** 2, 4**score)
    assert Fraction(1, 2) < ratio < 2
    assert answer_score(votes, accepted=True) == score + 1


@given(st.integers(-100, 10**6), st.booleans())
def test_never_falls_with_votes(votes: int, accepted: bool) -> None:
    assert answer_score(votes, accepted) <= answer_score(votes + 1, accepted)


def test_sql_gives_the_same() -> None:
    rows = duckdb.sql(f"""SELECT votes, accepted, {SCORE_SQL} FROM range(-20, 5000) r(votes),
        (VALUES (true), (false)) f(accepted)""").fetchall()
    assert len(rows) == 2 * 5020
    assert all(answer_score(votes, accepted) == score for votes, accepted, score in rows)
    assert answer_score(2**40 - 1, accepted=False) == 40 == math.log2(2**40)
