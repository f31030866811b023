import numpy as np
import pyarrow as pa

from seam_pipeline.findings.selection_methods import selection_methods
from seam_pipeline.findings.truth import truth
from seam_pipeline.selection._lowest import lowest_out

from .tables import answers, seam


def selected(scores: list[float | None]) -> pa.Table:
    return lowest_out([f"q{n}" for n in range(len(scores))], scores, {}, 0.2)


def test_the_methods_filtered_sets_are_compared_without_runs() -> None:
    up, down = [float(n) for n in range(10)], [float(-n) for n in range(10)]
    found = selection_methods(
        {"full": {(1, 1): answers({0: [5.0, 6.0]})}},
        {},
        selected={"reward": selected(up), "seam_gpt": selected([9.0, *up[1:]]), "pf_ppo": selected([*down[:9], None])},
    )
    table = found.more[-1]
    assert table.columns == ("method", "SEAM-GPT", "RM score", "PF-PPO")
    # Lowest two of ten: SEAM-GPT {q1, q2}, RM score {q0, q1}; PF-PPO {q7, q8} of the nine that it scores.
    assert table.rows == (
        ("SEAM-GPT (10)", "–", "50%", "0%"),
        ("RM score (10)", "50%", "–", "0%"),
        ("PF-PPO (9)", "0%", "0%", "–"),
    )
    assert any("PF-PPO chooses answers, not instructions" in caveat for caveat in found.caveats)
    alone = selection_methods({"full": {}}, {}, selected={"reward": selected(up)})
    assert len(alone.more) == 1


def test_the_truth_shows_the_baselines_beside_seam() -> None:
    real = np.random.default_rng(0).uniform(size=60)
    mismatch = pa.table({"id": [f"q{n}" for n in range(60)], "mismatch": real})
    good, none = selected([-float(v) for v in real[:-1]] + [None]), selected([0.0] * 60)
    found = truth({"llm": seam([0.0] * 60)}, mismatch, pair=(1, 1), baselines={"reward_variance": good, "random": none},
                  forms=("log",))  # fmt: skip
    assert [row[:2] for row in found.rows] == [
        ("SEAM-GPT", "log"), ("Random", "baseline"), ("Reward variance", "baseline"),
    ]  # fmt: skip
    assert found.numbers["auc_reward_variance"] == 1.0
    assert "of the baselines 1 of 2 above chance, best Reward variance, AUC 1.00" in found.answer
    assert found.nulls == {"Reward variance score missing: kept without a score: none given": 1}
    assert any("Reward variance reads the rewards of the very answers" in caveat for caveat in found.caveats)
