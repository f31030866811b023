import pyarrow as pa
import pytest

from seam_pipeline.defs._cycle import SEED, SELECTED
from seam_pipeline.findings.cycles import CycleTables, cycles

from .tables import answers, seam

SEEDS = (0, 1)


def _stacked(table: pa.Table) -> pa.Table:
    parts = [table.add_column(0, SEED, pa.array([s] * table.num_rows, pa.int32())) for s in SEEDS]
    return pa.concat_tables(parts)


def _cycle(quality: float, wrong: bool, score: float = -2.0) -> CycleTables:
    """Two instructions; the reward model orders the two answers of q0 wrongly or not, those of q1 tie in rating."""
    own = pa.table(
        {
            "id": ["q0", "q0", "q1", "q1"],
            "reward": [1.0, 2.0, 1.0, 2.0],
            "rating": [9.0, 1.0, 5.0, 5.0] if wrong else [1.0, 9.0, 5.0, 5.0],
        }
    )
    kept = pa.table(
        {"id": ["q0", "q1"], "kept": [False, True], "score": [score, 0.0], "reason": pa.nulls(2, pa.string())}
    )
    return CycleTables(
        _stacked(seam([score, 0.0])),
        _stacked(kept).cast(SELECTED),
        _stacked(own),
        answers({s: [quality, quality + 1, quality + 2] for s in SEEDS}),
    )


def test_cycles_by_hand():
    runs = {
        "full": {1: _cycle(4.0, True), 2: _cycle(4.0, True)},
        "seam_contrast": {1: _cycle(4.5, False), 2: _cycle(5.0, False, score=-1.0)},
        "random": {1: _cycle(4.0, True), 2: _cycle(3.0, True)},
    }
    before, offline = answers({0: [3.0, 4.0, 5.0]}), answers({s: [4.0, 5.0, 6.0] for s in (0, 1, 2)})
    found = cycles(runs, before, offline)
    assert [row[:2] for row in found.rows] == [
        (0, "before RL"), (1, "Full set"), (1, "SEAM-Contrast"), (1, "Random"), (2, "Full set"), (2, "SEAM-Contrast"),
        (2, "Random"), (2, "one offline run of as many steps"),
    ]  # fmt: skip
    assert found.rows[5][2:] == (6.0, "5.00 to 7.00", 3, 2, -0.5, "−1.00 to 0.00", "1 of 2", "0%", "no interval")
    assert found.rows[4][9] == "100%"
    assert found.numbers["mismatch_full_1"] == 1.0
    # q1's two answers rate alike, in 3 methods, 2 cycles and 2 seeds.
    assert found.nulls == {"instruction whose new answers do not differ in rating": 12}
    assert found.numbers["quality_seam_contrast_1"] == pytest.approx(5.5)
    # Against full 5 + 6 + 7 to 4 + 5 + 6: +1 on each question, 3 of 15; random -> +2; offline is as full.
    assert found.numbers["seam_against_full"] == pytest.approx(3 / 15)
    assert found.numbers["seam_against_random"] == pytest.approx(6 / 12)
    assert found.numbers["seam_against_offline"] == pytest.approx(3 / 15)
    assert found.numbers["seam_against_offline_seeds"] == 2
    assert found.rows[7][5] == 2  # only the seeds of the cycles
    assert [row[1] for row in found.more[0].rows] == ["+1.00", "+2.00", "+1.00"]
    length = found.more[1]
    assert [row[3] for row in length.rows] == [row[6] for row in length.rows] == ["+1.000", "+2.000", "+1.000"]
    assert length.rows[0][1:3] == ("3.0", "3.0")
    assert "After 2 cycles SEAM-Contrast rates 6.00: +1.00 against the same cycles on all instructions" in found.answer
    assert found.answer.endswith("over 2 seeds no difference can be separated at 95%.")
    assert any("drawn once" in caveat for caveat in found.caveats)
    assert any("cannot reach" in caveat for caveat in found.caveats)
    assert len(found.figure.panels) == 2


def test_cycles_without_seam_compare_nothing():
    found = cycles({"full": {1: _cycle(4.0, True)}}, answers({0: [3.0]}), answers({0: [4.0]}))
    assert "nothing to compare" in found.answer
