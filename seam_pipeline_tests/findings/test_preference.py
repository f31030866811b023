import json

import pyarrow as pa
import pytest

from seam_pipeline import tables
from seam_pipeline.findings import Finding
from seam_pipeline.findings._length_control import at_equal_length, compare_at_equal_length
from seam_pipeline.findings._match import match, match_rate
from seam_pipeline.findings.judge_agreement import judge_agreement
from seam_pipeline.findings.less_is_more import less_is_more
from seam_pipeline.findings.policy_ladder import policy_ladder
from seam_pipeline.findings.preference_match import preference_match
from seam_pipeline.findings.selection_methods import selection_methods
from seam_pipeline.judging.reference import NAME

from .tables import answers, reward_quality, with_lengths

Pair = tuple[float | None, float | None, str | None, str | None]


def pairs(rows: list[Pair]) -> tuple[pa.Table, pa.Table, pa.Table]:
    """PREFERENCE_ANSWERS, REWARDS and VERDICTS from (reward 1, reward 2, preference, reason)."""
    ids = [f"q{k}" for k in range(len(rows))]
    texts = {"instruction": "?", "response_1": "a", "response_2": "b", "policy_1": 1, "policy_2": 5}
    reason = {None: "empty response"}
    rewards = [
        {"id": i, "candidate_index": k, "reward": row[k - 1], "reason": reason.get(row[k - 1])}  # type: ignore[call-overload]
        for i, row in zip(ids, rows, strict=True)
        for k in (1, 2)
    ]
    verdicts = [
        {"id": i, "judge": "examiner", "preference": row[2], "reason": row[3], "explanation": None}
        for i, row in zip(ids, rows, strict=True)
    ]
    return (
        pa.Table.from_pylist([{"id": i, **texts} for i in ids], schema=tables.PREFERENCE_ANSWERS),
        pa.Table.from_pylist(rewards, schema=tables.REWARDS),
        pa.Table.from_pylist(verdicts, schema=tables.VERDICTS),
    )


BIASED = "the orders disagree: the answer shown first won both times"
ROWS: list[Pair] = [
    (2.0, 1.0, "1", None), (3.0, 1.0, "1", None), (1.0, 4.0, "2", None), (5.0, 0.0, "2", None),
    (2.0, 1.0, "tie", None), (2.0, 1.0, "tie", BIASED), (2.0, 1.0, "tie", "the two answers are the same"),
    (1.0, 1.0, "1", None), (2.0, 1.0, None, "the judge's reply has no [[verdict]]"), (None, 1.0, "1", None),
]  # fmt: skip


def test_the_match_rate_leaves_out_ties_and_nulls() -> None:
    _, rewards, verdicts = pairs(ROWS)
    found = match(rewards, verdicts)
    assert found.counts == {
        "match": 3, "mismatch": 1, "tie": 3, "reward tie": 1, "no verdict": 1, "no reward": 1,
    }  # fmt: skip
    assert match_rate(rewards, verdicts) == found.rate
    assert (found.rate.value, found.rate.n) == (0.75, 4)
    # Wilson at z = 1.96: (0.75 + z^2/8 +- z sqrt(0.1875/4 + z^2/64)) / (1 + z^2/4)
    assert found.rate.low == pytest.approx(0.3006, abs=1e-4)
    assert found.rate.high == pytest.approx(0.9544, abs=1e-4)


def test_preference_match_tells_ties_order_and_nulls_apart() -> None:
    gold = {f"q{k}": float(k) for k in range(len(ROWS))}
    found = preference_match(*pairs(ROWS), quality=reward_quality([True, True, True, False]), gold=gold)
    assert "agrees with the preference between policies 1 and 5 on 75.0% of 4 pairs" in found.answer
    assert "mismatch 25.0%" in found.answer
    assert found.numbers["match_n"] == 4
    assert "always naming policy 1 agrees on 50.0%" in found.answer
    assert "on its own test pairs the reward model is right on 75.0%" in found.answer
    assert ("policy 1 preferred", "100.0%", "34.2% to 100.0%", 2) in found.rows
    assert ("policy 5 preferred", "50.0%", "9.5% to 90.5%", 2) in found.rows
    outcomes = dict(found.more[0].rows)
    assert outcomes["tie"] == 3
    assert outcomes["of these: so judged"] == 1
    assert outcomes["of these: the orders disagree"] == 1
    assert outcomes["of these: the two answers are the same"] == 1
    assert found.more[1].rows == ((BIASED, 1, "11.1%"),)
    assert found.nulls == {
        "pair without a verdict: the judge's reply has no [[verdict]]": 1, "answer without a reward: empty response": 1,
    }  # fmt: skip
    assert "60.5%" in str(found.paper)
    assert Finding.from_dict(json.loads(json.dumps(found.to_dict()))) == found


def test_the_match_rises_with_the_margin_where_it_does() -> None:
    wrong_when_close = [(float(k), 0.0, "1" if k > 4 else "2", None) for k in range(1, 9)]
    found = preference_match(*pairs(wrong_when_close))
    by_margin = {str(row[0]): row[1] for row in found.rows if str(row[0]).startswith("reward margin")}
    assert list(by_margin.values()) == ["0.0%", "0.0%", "100.0%", "100.0%"]
    assert found.figure is not None
    assert len(found.figure.panels) == 2


def test_accuracy_has_instructions_for_units() -> None:
    """Twelve right and twelve wrong pairs: of two instructions all or none, of 24 instructions a coin's."""
    verdicts = [True] * 12 + [False] * 12
    together = preference_match(*pairs(ROWS), quality=reward_quality(verdicts, per_question=12))
    alone = preference_match(*pairs(ROWS), quality=reward_quality(verdicts))
    name = "the reward model on its own test pairs (n: their questions)"
    by_name = [{row[0]: row[1:] for row in one.rows}[name] for one in (together, alone)]
    assert by_name[0] == ("50.0%", "0.0% to 100.0%", 2)
    assert by_name[1][2] == 24
    assert by_name[1][1] != by_name[0][1]


def test_the_scatter_is_of_reward_differences_against_the_preference() -> None:
    """Also off the testbed; with a truth there is a panel more."""
    found = preference_match(*pairs(ROWS))
    assert found.figure is not None
    (scatter,) = found.figure.panels
    for label in ("reward of answer 1 less answer 2", "preferred answer", "answer 1", "tie", "match (3)"):
        assert f">{label}<" in scatter.svg, label
    known = preference_match(*pairs(ROWS), gold={f"q{k}": 1.0 for k in range(len(ROWS))})
    assert known.figure is not None
    assert len(known.figure.panels) == 2
    assert ">true rating difference<" in known.figure.panels[1].svg


def test_the_longer_answer_is_a_baseline() -> None:
    answers_of, rewards, verdicts = pairs([(2.0, 1.0, "1", None), (2.0, 1.0, "2", None), (2.0, 1.0, "1", None)])
    texts = pa.array(["long answer", "long answer", "one"])  # the third is as long as the other
    at = answers_of.column_names.index("response_1")
    answers_of = answers_of.set_column(at, answers_of.schema.field(at), texts)
    row = next(r for r in preference_match(answers_of, rewards, verdicts).rows if "longer" in str(r[0]))
    assert (row[1], row[3]) == ("50.0%", 2)


def test_a_match_rate_is_tested_against_the_papers_by_hand() -> None:
    found = preference_match(*pairs([(2.0, 1.0, "1", None)] * 4))
    rarer = 4 * 0.65 * 0.35**3 + 0.35**4  # one match or none
    assert found.numbers["match_rate_p"] == pytest.approx(0.65**4 + rarer)
    # 2 asin 1 - 2 asin sqrt 0.65
    assert found.numbers["match_rate_h"] == pytest.approx(3.14159 - 2 * 0.93774, abs=1e-4)


def test_nothing_decided_is_said() -> None:
    found = preference_match(*pairs([(1.0, 1.0, "1", None), (1.0, 2.0, "tie", None)]))
    assert "No pair has both a preference and a reward difference (tie 1 and reward tie 1)" in found.answer
    assert found.headline is None


def test_equal_length_by_hand() -> None:
    # z = tanh(x / 2) with standard deviation 2 of x: d = 0.5 + 3 z exactly.
    import numpy as np

    x = np.array([2.0, -2.0, 2.0, -2.0])
    d = 0.5 + 3 * np.tanh(x / 2)
    found = at_equal_length(d, x)
    assert found.value == pytest.approx(0.5)
    # One side longer throughout: the plain mean is 3, and 1 of it is left at equal length.
    x = np.array([1.0, 3.0])
    found = at_equal_length([2.0, 4.0], x)
    slope = 2 / (np.tanh(3.0) - np.tanh(1.0))
    assert found.value == pytest.approx(2 - slope * np.tanh(1.0))
    assert at_equal_length([1.0, 3.0], [0.0, 0.0]).value == 2.0
    assert at_equal_length([1.0, 3.0], [5.0, 5.0])[:4] == (
        None,
        None,
        None,
        2,
    )  # always 5 longer: nothing to tell apart
    assert at_equal_length([], []).value is None


def test_a_pure_gain_of_length_vanishes_at_equal_length() -> None:
    """The rating is the length's alone (through tanh): a plain difference, none at equal length."""
    import numpy as np

    rng = np.random.default_rng(0)
    longer = rng.normal(4, 3, 300)
    shorter = {(1, 1): with_lengths(answers({0: [5.0] * 300}), [10] * 300)}
    rating = 5 + 2 * np.tanh(np.round(longer) / np.round(longer).std())
    ours = {(1, 1): with_lengths(answers({0: rating.tolist()}), [10 + round(v) for v in longer])}
    found = compare_at_equal_length(ours, shorter)
    assert found.plain.value is not None
    assert found.plain.value > 1
    assert found.controlled.value == pytest.approx(0, abs=1e-9)
    assert found.other_length == 10
    tables_of = {t.caption: t for t in selection_methods({"full": shorter, "seam_gpt": ours}, {}).more}
    (row,) = next(t for caption, t in tables_of.items() if "at equal length" in caption).rows
    assert row[0] == "SEAM-GPT"
    assert row[6] == "0.000"
    ladder = policy_ladder({1: ours[1, 1], 2: shorter[1, 1]}, {1: 100, 2: 0})
    assert ladder.more[0].rows[0][6] == "0.000"


def test_less_is_more_pairs_what_all_methods_have() -> None:
    base = [float(v) for v in (4, 5, 6, 7)]
    full = {(1, 1): answers({0: base, 1: base}), (2, 2): answers({0: base})}
    more = {(1, 1): answers({0: [v + 1 for v in base], 1: [v + 2 for v in base]})}
    control = {(1, 1): answers({0: base, 1: [v + 1 for v in base]})}
    outcomes = {1: {"a": "match", "b": "mismatch", "c": "mismatch", "d": "tie"}}
    found = less_is_more({"full": full, "matched": more, "matched_random": control}, outcomes, 10)
    rows = {row[0]: row for row in found.rows}
    matched = rows["Matched less full set"]
    assert matched[1:5] == (1, 2, 7.0, "+1.500")
    assert matched[9] == "p = 0.50 over 2 seeds, d_z +2.12; at best 0.5"  # 1 and 2: 1.5 over sqrt(0.5)
    assert rows["As many at random less full set"][4] == "+0.500"
    assert rows["Matched less as many at random"][4] == "+1.000"
    assert found.more[0].rows == ((1, 10, 2, 8, 1, 2, 1, 0, 0, 0, 6),)
    assert found.answer.startswith("Without the 2 of 10 instructions that mismatch")
    assert "p < 0.05" in str(found.paper)
    one_seed = less_is_more(
        {"full": {(1, 1): answers({0: base})}, "matched": {(1, 1): answers({0: base})}}, outcomes, 10
    )
    assert one_seed.rows[0][9] == "not testable (1 seed)"
    assert one_seed.rows[0][6] == "–"  # no scatter, no effect size


def test_less_is_more_shows_effect_sizes_by_hand() -> None:
    """Differences 0, 1, 2, 3 over questions: mean 1.5, standard deviation sqrt(5 / 3)."""
    full, matched = {(1, 1): answers({0: [4.0] * 4})}, {(1, 1): answers({0: [4.0, 5.0, 6.0, 7.0]})}
    found = less_is_more({"full": full, "matched": matched}, {1: {"a": "mismatch"}}, 4)
    assert found.rows[0][6] == "+1.16"
    assert "d_z +1.16" in found.answer
    assert "d_z +1.16" in found.interval
    assert found.numbers["matched_over_full_dz"] == pytest.approx(1.5 / (5 / 3) ** 0.5)


def ratings(per_policy: dict[int, list[float | None]], judge: str) -> pa.Table:
    rows = [
        {"policy": rank, "id": f"q{k}", "judge": judge, "rating": r, "reason": None if r is not None else "no [[n]]"}
        for rank, column in per_policy.items()
        for k, r in enumerate(column)
    ]
    return pa.Table.from_pylist(rows, schema=tables.JUDGE_RATINGS)


def test_judge_agreement_by_hand() -> None:
    gold = ratings({1: [8, 6, 9, 5], 2: [2, 6, 3, 1]}, "gold")
    # One more than gold throughout but for one missing rating and one pair the wrong way round.
    judge = ratings({1: [9, 7, 10, None], 2: [3, 7, 10.5, 2]}, "examiner")
    found = judge_agreement({"gold": gold, "examiner": judge})
    (row,) = found.rows
    assert row[0] == "examiner"
    assert row[3] == "+1.93"  # (1 + 1 + 1 + 1 + 1 + 7.5 + 1) / 7
    assert row[5] == "50.0%"  # q0 alike, q2 not; q1 has no difference, q3 no rating
    assert row[7:] == (7, 1)
    # Differences of the ranks are 1, 1, 1, 1 and 4: 1 - 20 / (2 x 27.5).
    assert found.numbers["examiner_spearman"] == pytest.approx(7 / 11)
    assert found.nulls == {"answer without a rating: no [[n]]": 1}
    assert "the truth" in found.title


def test_a_perfect_judge_agrees() -> None:
    gold = {1: [8.0, 6.0, 9.0], 2: [2.0, 5.0, 3.0]}
    found = judge_agreement({"gold": ratings(gold, "gold"), "twin": ratings(gold, "twin")})  # type: ignore[arg-type]
    assert found.numbers == {"twin_spearman": 1.0, "twin_bias": 0.0, "twin_pairs": 1.0}
    proxy = judge_agreement({"gold": ratings(gold, "gold"), NAME: ratings(gold, NAME)})  # type: ignore[arg-type]
    assert proxy.answer.startswith("reference (proxy): rank correlation 1.00")
