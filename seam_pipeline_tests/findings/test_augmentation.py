from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from seam_pipeline.findings import Finding
from seam_pipeline.findings.augmentation import Added, augmentation
from seam_pipeline.tables import PREFERENCE, RL

from .tables import answers, reward_quality, with_lengths

WIGGLE = np.linspace(-1, 1, 40)
CELL = (1, 1)


def rated(*means: float) -> dict[tuple[int, int], pa.Table]:
    return {CELL: answers({seed: list(mean + WIGGLE) for seed, mean in enumerate(means)})}


def added(after: tuple[float, ...], before: float, right: int, n: int) -> Added:
    row = ("r1:s1", "r1", "train", "Weak?", "right", "wrong", 1, 0)
    pairs = pa.Table.from_pylist([dict(zip(PREFERENCE.names, row, strict=True))], schema=PREFERENCE)
    what = ["SFT examples added", "preference pairs added", "instructions without a sample"]
    counts = pa.table({"what": what, "rows": [n, n - 1, 2]})
    rewards = {CELL: reward_quality([True] * right + [False] * (10 - right))}
    return Added(rated(*after), rated(before), rewards, {CELL: counts}, {CELL: pairs}, (9, 10))


RL_TRAIN = pa.Table.from_pylist(
    [{"id": "r1", "split": "train", "instruction": "Weak?", "golden_response": "right", "worse_response": None}],
    schema=RL,
)


def study() -> Finding:
    methods = {
        "random": added((4.0, 4.0), 3.0, 6, 50),
        "seam_gpt": added((5.0, 5.0), 3.5, 8, 50),
        "full_aug": added((5.0, 5.0), 3.5, 8, 250),
    }
    return augmentation(rated(4, 4), rated(3), {CELL: reward_quality([True] * 6 + [False] * 4)}, methods, RL_TRAIN)


def test_methods_are_compared_with_original_and_with_each_other() -> None:
    found = study()
    assert [row[:4] for row in found.rows] == [
        ("SEAM-GPT", 50, 49, 2),
        ("Random", 50, 49, 2),
        ("Full Aug", 250, 249, 2),
    ]
    assert [row[8] for row in found.rows] == ["+25.0%", "0.0%", "+25.0%"]
    # Every question differs alike: no scatter, no d_z.
    assert [row[:5] for row in found.more[0].rows] == [
        ("SEAM-GPT against Random", "+1.000", "+1.000 to +1.000", "–", "+25.0%"),
        ("SEAM-GPT against Full Aug", "0.000", "0.000 to 0.000", "–", "0.0%"),
    ]
    assert found.answer.startswith(
        "Against Original: SEAM-GPT (+25.0%) and Full Aug (+25.0%) better, Random (0.0%) not separated at 95% (over 2 "
        "seeds no difference can be separated at 95%); against Random: SEAM-GPT (+25.0%) better (over 2 seeds"
    )
    assert "against Full Aug: SEAM-GPT (0.0%) not separated at 95%" in found.answer
    assert found.headline == ("+25.0%", "rating, augmentation by SEAM-GPT against random")
    assert found.numbers["seam_gpt_over_random"] == 0.25


def test_sentence_and_table_have_the_same_corrected_p() -> None:
    """Against Random p is 0.027 alone, and 0.054 as one of the two comparisons that the table corrects for."""
    noise = np.random.default_rng(12).normal(0.12, 0.35, 40)
    random = added((5.0,), 3.0, 6, 50)
    ours = replace(random, answers={CELL: answers({0: list(5 + WIGGLE + noise)})})
    full_aug = replace(random, answers={CELL: answers({0: list(5.1 + WIGGLE + noise[::-1])})})
    methods = {"seam_gpt": ours, "random": random, "full_aug": full_aug}
    found = augmentation(rated(4), rated(3), random.rewards, methods, RL_TRAIN)
    dz = float(noise.mean() / noise.std(ddof=1))
    assert found.more[0].rows[0][3] == f"{dz:+.2f}"
    assert found.numbers["seam_gpt_over_random_dz"] == pytest.approx(dz)
    assert found.more[0].rows[0][5] == "p = 0.054"
    assert "against Random: SEAM-GPT (+2.4%) not separated at 95%" in found.answer


def test_a_loss_by_shorter_answers_is_said() -> None:
    """Ratings that go with the length alone: worse plainly, not at equal length."""
    rng = np.random.default_rng(1)
    less = np.round(rng.normal(4, 3, 200))
    rating = 5 - 2 * np.tanh(less / less.std()) + 1e-6 * rng.normal(size=200)
    short = with_lengths(answers({0: rating.tolist()}), [20 - int(v) for v in less])
    plain = with_lengths(answers({0: [5.0] * 200}), [20] * 200)
    one = replace(added((4.0,), 3.0, 6, 50), answers={CELL: short})
    found = augmentation({CELL: plain}, rated(3), one.rewards, {"random": one}, RL_TRAIN)
    assert found.answer.startswith("Against Original: Random (−")
    assert found.answer.endswith("At equal length of the answers Random is no longer separated.")


def test_accuracy_has_questions_for_units() -> None:
    """Two pairs of one question are one unit, of which half is right."""
    one = replace(added((4.0,), 3.0, 6, 50), rewards={CELL: reward_quality([True, False, True, True], per_question=2)})
    was = {CELL: reward_quality([False, False, True, True], per_question=2)}
    found = augmentation(rated(4), rated(3), was, {"random": one}, RL_TRAIN)
    # Differences of the questions' shares 0.5 and 0: mean 0.25, standard deviation sqrt(0.125).
    assert found.more[1].rows[1][5:] == ("75.0%", "+25.0%", "0.0% to +50.0%", "+0.71")


def test_models_before_rl_and_sizes() -> None:
    found = study()
    assert found.more[2].rows[0] == ("Original", 3.0, "–", "–", "–", "60.0%", "–", "–", "–")
    name, policy, gain, _, _, accuracy, rise, _, _ = found.more[2].rows[1]
    assert (name, policy, gain, accuracy, rise) == ("SEAM-GPT", 3.5, "+0.500", "80.0%", "+20.0%")
    assert found.more[1].caption.startswith("Difference of the mean rating from Original, plain and at equal length")
    assert found.more[1].rows[0][3] == found.more[1].rows[0][6] == "+1.000"
    assert found.more[3].rows[2] == ("instructions without a sample", 2, 2, 2)
    assert "SEAM-GPT: the chosen answer is truly the better one in 90% of 10 pairs." in found.caveats
    assert found.excerpts[0].parts[0] == ("weak instruction", "Weak?")
    assert Finding.from_dict(found.to_dict()) == found


def test_nothing_shared_is_said() -> None:
    other = Added({(2, 2): answers({0: [5.0]})}, {}, {}, {}, {})
    found = augmentation(rated(4), rated(3), {}, {"random": other}, RL_TRAIN)
    assert "nothing to compare" in found.answer
