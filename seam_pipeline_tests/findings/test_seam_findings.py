import numpy as np
import pyarrow as pa
import pytest

from seam_pipeline import tables as schemas
from seam_pipeline.findings.candidate_likelihoods import candidate_likelihoods
from seam_pipeline.findings.seamlessness import overlap, seamlessness
from seam_pipeline.findings.truth import mismatch_of_samples, truth
from seam_pipeline.findings.worst_instructions import worst_instructions

from .tables import likelihoods, seam


def test_candidate_likelihoods_average_over_candidates():
    # -1, -2 per token in a; -6 in b; the mean over candidates is -3, over instructions it would be -3.75.
    llm = likelihoods({"a": [(-4.0, 4), (-4.0, 2)], "b": [(-6.0, 1), (None, None)]})
    adversarial = likelihoods({"a": [(-9.0, 1)], "b": [(-30.0, 3)]})
    found = candidate_likelihoods({"adversarial": {1: adversarial}, "llm": {1: llm, 2: llm}})
    assert found.numbers["llm_rank1"] == pytest.approx(-3.0)
    assert found.numbers["adversarial_rank1"] == pytest.approx(-9.5)
    assert found.rows[0][:3] == ("SEAM-GPT", 1, pytest.approx(-3.0))
    assert found.rows[0][5:] == (3, "−1.81")
    assert "SEAM-GPT −3.00 > SEAM-Adv −9.50; the paper's order" in found.answer
    assert found.nulls == {"SEAM-GPT candidate not scored: empty candidate": 2}


def test_candidate_likelihoods_admit_what_is_not_separated_or_ordered():
    near = likelihoods({f"q{i}": [(-1.0 - (i % 2), 1)] for i in range(10)})
    far = likelihoods({f"q{i}": [(-1.1 - ((i + 1) % 2), 1)] for i in range(10)})
    found = candidate_likelihoods({"llm": {1: far}, "contrast": {1: near}})
    assert "not the paper's order" in found.answer
    assert "SEAM-Contrast and SEAM-GPT not separated at 95%" in found.answer


def test_overlap_by_hand():
    a = {f"q{i}": float(i) for i in range(10)}
    b = a | {"q0": 99.0}
    # Lowest 20% of ten: {q0, q1} against {q1, q2}.
    assert overlap(a, b, 0.2)[0] == 0.5
    assert overlap(a, b, 0.2).n == 2
    # Only the ids that both score count.
    assert overlap(a, {f"q{i}": float(i) for i in range(5)}, 0.4).n == 2


def test_seamlessness_grid_overlaps_and_nulls():
    scores = [-9.0, -8.0, -3.0, -2.0, -1.0, 0.0, 0.0, 0.0, 0.0, None]
    turned = [*scores[5:9], *scores[:5], None]
    found = seamlessness(
        {"llm": {(1, 1): seam(scores), (2, 2): seam(turned), (1, 2): seam(scores)}, "contrast": {(1, 1): seam(scores)}},
        rate=0.2,
    )
    assert found.rows[0][0:3] == ("SEAM-GPT", "PM 1 / RM 1", pytest.approx(-23 / 9))
    assert found.rows[0][4:7] == (9, 10, "44%")
    pairs, variants = found.more[1], found.more[2]
    assert pairs.rows[0][:4] == ("SEAM-GPT", "PM 1 / RM 1", "PM 2 / RM 2", "0%")
    assert [row[:4] for row in variants.rows] == [("PM 1 / RM 1", "SEAM-GPT", "SEAM-Contrast", "100%")]
    assert found.more[0].rows[0][1] == pytest.approx(1.0)
    assert found.nulls == {
        "SEAM-GPT score missing: no candidates": 3,
        "SEAM-Contrast score missing: no candidates": 1,
    }
    assert len(found.figure.panels) == 2


def test_seamlessness_warns_of_ties():
    found = seamlessness({"llm": {(1, 1): seam([-1.0] + [0.0] * 9)}}, rate=0.2)
    assert any("ties" in caveat for caveat in found.caveats)
    assert "nothing to compare" in found.answer


def test_mismatch_of_samples_by_hand():
    samples = pa.table(
        {
            "id": ["a", "a", "a", "b", "b", "c", "c"],
            "reward": [1.0, 2.0, 3.0, 1.0, 1.0, 0.0, 5.0],
            "rating": [9.0, 5.0, 7.0, 2.0, 3.0, 4.0, 4.0],
        }
    )
    # a: pairs (9,5) wrong, (9,7) wrong, (5,7) right -> 2/3. b: reward tie -> 1/2. c: equal ratings -> unknown.
    assert mismatch_of_samples(samples).to_pylist() == [
        {"id": "a", "mismatch": pytest.approx(2 / 3), "n_pairs": 3},
        {"id": "b", "mismatch": 0.5, "n_pairs": 1},
        {"id": "c", "mismatch": None, "n_pairs": 0},
    ]


def _mismatch(real):
    return pa.table({"id": [f"q{i}" for i in range(len(real))], "mismatch": list(real)})


def test_truth_finds_a_planted_signal_and_no_other():
    rng = np.random.default_rng(0)
    real = rng.uniform(size=120)
    signal = seam([-float(v) for v in real])
    noise = seam([-float(v) for v in rng.uniform(size=120)])
    mismatch = _mismatch([*real[:-1], None])
    found = truth({"llm": signal, "contrast": noise}, mismatch, pair=(1, 1), forms=("log",))
    assert found.numbers["auc_llm_log"] == 1.0
    assert found.numbers["auc_llm_log_p"] < 1e-10
    assert found.rows[0][4:7] == ("+1.00", "p < 0.001", "+1.00")
    assert found.answer.startswith("Yes for 1 of 2 scores")
    assert found.n == 119
    assert found.nulls == {"instruction whose rewarded answers do not differ in quality": 1}
    nothing = truth({"contrast": noise}, mismatch, pair=(1, 1), forms=("log",))
    assert nothing.answer.startswith("No: none of 1 scores")
    backwards = truth({"llm": seam([float(v) for v in real])}, mismatch, pair=(1, 1), forms=("log",))
    assert "the wrong way round: SEAM-GPT log (0.00)" in backwards.answer


def test_truth_counts_the_answers_without_a_reward():
    reasons = [None, "the response is empty", "the response is empty"]
    answers = pa.table({"reward": [1.0, None, None], "reason": reasons})
    scores = {"llm": seam([-float(v) for v in range(8)])}
    found = truth(scores, _mismatch([v / 8 for v in range(8)]), pair=(1, 1), answers=answers)
    assert found.nulls == {"sampled answer without a reward: the response is empty": 2}


def test_truth_corrects_over_all_scores_by_hand():
    real = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    # Positives 3 and negatives 3; scores of the negatives are all higher: U = 9, exact p = 2 / 20.
    mismatch = _mismatch([*real, 0.5])
    best = seam([-1.0, -2.0, -3.0, -4.0, -5.0, -6.0, None])
    found = truth({"llm": best, "contrast": seam([-1.0, -5.0, -3.0, -4.0, -2.0, -6.0, None])}, mismatch, pair=(1, 1),
                  forms=("log",))  # fmt: skip
    assert found.numbers["auc_llm_log_p"] == pytest.approx(2 * 0.1)  # the smaller of two p, doubled
    # llm ranks by score, contrast: positives 4, 2, 6 against negatives 1, 5, 3: 6 of 9 orderings right.
    assert found.numbers["auc_contrast_log"] == pytest.approx(6 / 9)
    assert found.rows[1][4] == "+0.33"
    assert "Holm-corrected over 2 scores" in " ".join(found.caveats)
    assert found.answer.startswith("No")


def test_prob_beats_log_only_where_it_does():
    rng = np.random.default_rng(1)
    real = rng.uniform(size=200)
    noise = [-float(v) for v in rng.uniform(size=200)]
    signal = [-float(v) for v in real]
    better = truth({"llm": seam(noise, signal), "contrast": seam(noise, signal)}, _mismatch(real), pair=(1, 1))
    auc = better.numbers
    assert auc["prob_minus_log_llm"] == pytest.approx(auc["auc_llm_prob"] - auc["auc_llm_log"])
    assert auc["prob_minus_log_low"] > 0.3
    assert "prob beats log" in better.answer
    assert [row[0] for row in better.more[0].rows] == ["SEAM-GPT", "SEAM-Contrast", "mean of the variants"]
    assert "prob loses to log" in truth({"llm": seam(signal, noise)}, _mismatch(real), pair=(1, 1)).answer
    same = truth({"llm": seam(noise, noise)}, _mismatch(real), pair=(1, 1))
    assert same.numbers["prob_minus_log"] == 0
    assert "prob and log are not separated" in same.answer


def test_worst_instructions_name_the_offender_of_the_form():
    candidates = [
        {"id": "q0", "candidate_index": n, "candidate": f"text {n}", "source": "s", "similarity": None, "reason": None}
        for n in range(2)
    ]
    # log: -3 * 1 against -0.5 * 2; prob: -e^-3 * 1 against -e^-0.5 * 2. The offender differs.
    scored = [
        {"id": "q0", "candidate_index": 0, "loglik": -30.0, "n_tokens": 10, "reward": 2.0, "misjudgement": 1.0},
        {"id": "q0", "candidate_index": 1, "loglik": -2.0, "n_tokens": 4, "reward": 3.0, "misjudgement": 2.0},
        {"id": "q1", "candidate_index": 0, "loglik": None, "n_tokens": None, "reward": None, "misjudgement": None},
    ]
    rows = [row | {"golden_reward": 1.0, "reason": "too long" if row["loglik"] is None else None} for row in scored]
    rl = pa.Table.from_pylist(
        [{"id": f"q{i}", "split": "train", "instruction": f"Why {i}?", "golden_response": "So.", "worse_response": None}
         for i in range(2)], schema=schemas.RL,
    )  # fmt: skip
    arguments = (
        seam([-4.0, None]),
        pa.Table.from_pylist(rows, schema=schemas.CANDIDATE_SCORES),
        pa.Table.from_pylist(candidates, schema=schemas.CANDIDATES),
        rl,
    )
    log = worst_instructions(*arguments, pair=(1, 1), variant="llm")
    prob = worst_instructions(*arguments, pair=(1, 1), variant="llm", form="prob")
    assert log.rows[0][:4] == ("Why 0?", -4.0, 0, -3.0)
    assert prob.rows[0][2] == 1
    assert log.excerpts[0].parts[2][1] == "text 0"
    assert "1 of 1 instruction" in log.answer or "for 1 of 1" in log.answer
    assert sum(log.nulls.values()) == 2
