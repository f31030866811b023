import pytest

from seam_pipeline.errors import SeamError
from seam_pipeline.selection import select

from .test_select import dropped, rl

OUTCOMES = {"q0": "match", "q1": "mismatch", "q2": "tie", "q3": "no verdict", "q4": "mismatch", "q5": "reward tie"}


def test_only_mismatches_go_and_the_rest_says_why_it_stays() -> None:
    table = select("matched", rl(8), 0.5, outcomes=OUTCOMES)
    assert dropped(table) == ["q1", "q4"]
    assert table["score"].to_pylist() == [1.0, 0.0, None, None, 0.0, None, None, None]
    assert table["reason"].to_pylist() == [
        None, None, "kept: tie", "kept: no verdict", None, "kept: reward tie", "kept: not compared",
        "kept: not compared",
    ]  # fmt: skip


def test_the_control_has_the_same_size_and_its_own_seed() -> None:
    rows = rl(200)
    outcomes = {f"q{k}": "mismatch" if k < 60 else "match" for k in range(100)}
    first, second = (select("matched_random", rows, 0.5, outcomes=outcomes, seed=seed) for seed in (0, 1))
    assert len(dropped(first)) == len(dropped(second)) == 60
    assert dropped(first) != dropped(second)
    assert select("matched_random", rows, 0.2, outcomes=outcomes, seed=0) == first
    from_compared = sum(int(name[1:]) < 100 for name in dropped(first))
    assert 15 < from_compared < 45  # of all rows, not of those compared: 30 expected


@pytest.mark.parametrize("method", ["matched", "matched_random"])
def test_without_a_preference_it_is_refused(method: str) -> None:
    with pytest.raises(SeamError, match="preference of two policies' answers"):
        select(method, rl(3), 0.2)  # type: ignore[arg-type]
