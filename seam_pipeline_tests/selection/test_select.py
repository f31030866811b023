import subprocess
import sys
from typing import get_args

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import MATCHED, Method
from seam_pipeline.scoring.baselines import BASELINE_SCORES
from seam_pipeline.selection import select
from seam_pipeline.selection._lowest import n_filtered
from seam_pipeline.selection.select import BASELINES
from seam_pipeline.tables import RL, SEAM_SCORES, SELECTED


def rl(n: int) -> pa.Table:
    rows = [{"id": f"q{k}", "split": "train", "instruction": "?", "golden_response": "!"} for k in range(n)]
    return pa.Table.from_pylist(rows, schema=RL)


def scores(values: list[float | None]) -> pa.Table:
    forms = ("seam_log", "seam_prob", "seam_mean_log", "seam_mean_prob")
    rows = [
        {
            "id": f"q{k}",
            **{form: None if value is None else value * (-1) ** n for n, form in enumerate(forms)},
            "n_candidates": 0 if value is None else 3,
            "reason": "no candidates" if value is None else None,
        }
        for k, value in enumerate(values)
    ]
    return pa.Table.from_pylist(rows[::-1], schema=SEAM_SCORES)


def perplexity(values: list[float | None]) -> pa.Table:
    reasons = ["fewer than two tokens" if value is None else None for value in values]
    return pa.table({"id": [f"q{k}" for k in range(len(values))], "perplexity": values, "reason": reasons})


def baseline(values: list[float | None]) -> pa.Table:
    reasons = ["no sampled answer" if value is None else None for value in values]
    columns = {"id": [f"q{k}" for k in range(len(values))], "score": values, "reason": reasons}
    return pa.table(columns, schema=BASELINE_SCORES)


def dropped(table: pa.Table) -> list[str]:
    assert table.schema == SELECTED
    return [row["id"] for row in table.to_pylist() if not row["kept"]]


def test_the_lowest_seam_scores_go() -> None:
    table = select("seam_gpt", rl(10), 0.2, seam_scores=scores([-1, -5, -2, 0, 0, -9, -3, 0, 0, 0]))
    assert dropped(table) == ["q1", "q5"]
    assert table["score"].to_pylist() == [-1, -5, -2, 0, 0, -9, -3, 0, 0, 0]
    assert table["reason"].null_count == 10


def test_the_form_chooses_the_column() -> None:
    evidence = scores([-1, -5, -2, 3])
    assert dropped(select("seam_adv", rl(4), 0.25, seam_scores=evidence, form="log")) == ["q1"]
    assert dropped(select("seam_adv", rl(4), 0.25, seam_scores=evidence, form="prob")) == ["q3"]


def test_null_scores_are_kept_and_say_why() -> None:
    values: list[float | None] = [None, -1, None, -2, None, None, None, None, None, None]
    table = select("seam_contrast", rl(10), 0.3, seam_scores=scores(values))
    assert dropped(table) == ["q1", "q3"]  # 3 were wanted, 2 have a score
    assert table["score"].null_count == 8
    assert set(table["reason"].to_pylist()) == {None, "kept without a score: no candidates"}


def test_high_perplexity_goes() -> None:
    table = select("perplexity", rl(5), 0.4, perplexities=perplexity([10, 90, None, 50, 20]))
    assert dropped(table) == ["q1", "q3"]
    assert table["score"].to_pylist() == [-10, -90, None, -50, -20]
    assert table["reason"][2].as_py() == "kept without a score: fewer than two tokens"
    assert dropped(select("perplexity", rl(2), 0.5, perplexities=perplexity([float("inf"), 3]))) == ["q1"]


def test_full_keeps_all() -> None:
    table = select("full", rl(3), 0.2)
    assert dropped(table) == []
    assert table["score"].null_count == table["reason"].null_count == 3


def test_random_is_seeded_and_stable_under_added_rows() -> None:
    order = select("random", rl(1000), 0.2, seed=1)
    assert len(dropped(order)) == 200
    assert select("random", rl(1000), 0.2, seed=1) == order
    overlap = set(dropped(order)) & set(dropped(select("random", rl(1000), 0.2, seed=2)))
    assert 20 <= len(overlap) <= 60  # 40 expected by chance
    more = dict(zip(*select("random", rl(1500), 0.2, seed=1).select(["id", "score"]).to_pydict().values(), strict=True))
    assert all(more[row["id"]] == row["score"] for row in order.to_pylist())
    assert all(0 <= score < 1 for score in more.values())


def test_ties_do_not_follow_the_rows_order() -> None:
    tied = select("seam_gpt", rl(100), 0.2, seam_scores=scores([0.0] * 100))
    assert len(dropped(tied)) == 20
    assert dropped(tied) != [f"q{k}" for k in range(20)]
    back = rl(100).take(list(range(99, -1, -1)))
    assert dropped(select("seam_gpt", back, 0.2, seam_scores=scores([0.0] * 100))) == dropped(tied)[::-1]


@given(st.integers(1, 99), st.integers(0, 400))
def test_rounding_is_decimal_with_halves_up(percent: int, n: int) -> None:
    assert n_filtered(percent / 100, n) == (percent * n + 50) // 100


def test_every_method_filters_equally_many() -> None:
    assert n_filtered(0.57, 50) == 29
    n, values = 23, [float(-k) for k in range(23)]
    evidence = {"seam_scores": scores(values), "perplexities": perplexity([-v + 1 for v in values])}
    evidence["baseline"] = baseline(values)
    for method in set(get_args(Method)) - set(MATCHED):
        assert len(dropped(select(method, rl(n), 0.37, **evidence))) == (0 if method == "full" else 9), method


@pytest.mark.parametrize("method", BASELINES)
def test_the_lowest_baseline_scores_go(method: Method) -> None:
    table = select(method, rl(5), 0.4, baseline=baseline([3.0, -1.0, None, 2.0, 5.0]))
    assert dropped(table) == ["q1", "q3"]
    assert table["reason"][2].as_py() == "kept without a score: no sampled answer"
    with pytest.raises(SeamError, match=f"by {method} needs its baseline scores"):
        select(method, rl(2), 0.2)


def test_short_answers_go() -> None:
    rows = [
        {"id": f"q{n}", "split": "train", "instruction": "?", "golden_response": text}
        for n, text in enumerate(("a long answer", "no", "yes", " "))
    ]
    table = select("length", pa.Table.from_pylist(rows, schema=RL), 0.25)
    assert dropped(table) == ["q1"]
    assert table["score"].to_pylist() == [13, 2, 3, None]
    assert table["reason"][3].as_py() == "kept without a score: empty golden response"


def test_a_non_finite_score_is_kept_and_says_so() -> None:
    table = select("perplexity", rl(2), 0.5, perplexities=perplexity([float("inf"), 3]))
    assert table["reason"].to_pylist() == ["kept without a score: it is -inf", None]


def test_repeated_evidence_is_refused() -> None:
    with pytest.raises(SeamError, match="SEAM scores: id 'q0' appears twice"):
        select("seam_gpt", rl(1), 0.5, seam_scores=pa.concat_tables([scores([-1]), scores([-2])]))


def test_missing_evidence_is_refused() -> None:
    with pytest.raises(SeamError, match="seam_gpt needs the SEAM scores"):
        select("seam_gpt", rl(2), 0.2)
    with pytest.raises(SeamError, match="needs the base model's perplexities"):
        select("perplexity", rl(2), 0.2)
    with pytest.raises(SeamError, match="no row for id 'q2'"):
        select("seam_gpt", rl(3), 0.2, seam_scores=scores([-1, -2]))
    with pytest.raises(SeamError, match="'q0' appears twice"):
        select("random", pa.concat_tables([rl(2), rl(1)]), 0.2)
    with pytest.raises(SeamError, match="'best' is unknown"):
        select("best", rl(2), 0.2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="not between"):
        select("random", rl(2), 1.0)


def test_selection_needs_no_torch() -> None:
    code = "import sys, seam_pipeline.selection.own, seam_pipeline.scoring.seam; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
