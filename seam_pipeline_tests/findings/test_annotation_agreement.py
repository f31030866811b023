import pytest

from seam_pipeline.annotation._judgement import to_table
from seam_pipeline.findings import Finding
from seam_pipeline.findings.annotation_agreement import annotation_agreement
from seam_pipeline_tests.annotation.made import judged, pairs


def found(ballots: dict[str, str], people: str = "abc") -> Finding:
    """`{"q0": "12t"}`: what a, b and c chose of q0; a dot is silence."""
    known = {pair.id: pair for pair in pairs()}
    rows = [
        judged(known[id_], name, "tie" if vote == "t" else vote)  # type: ignore[arg-type]
        for id_, votes in ballots.items()
        for name, vote in zip(people, votes, strict=True)
        if vote != "."
    ]
    return annotation_agreement(to_table(rows), ["q0", "q1", "q2", "q3", "q4"])


def test_numbers_by_hand() -> None:
    finding = found({"q0": "111", "q1": "112", "q2": "12t", "q3": "2..", "q5": "222"})
    # q5 was not asked for; q3 has one vote. n = 9, n_1 = 6, n_2 = 2, n_t = 1; o_11 = 3 + 2 / 2 = 4:
    # (8 * 4 - (30 + 2 + 0)) / (72 - 32) = 0.
    assert finding.numbers["alpha"] == pytest.approx(0.0)
    # Without t: q2 has 1, 2; n = 8, n_1 = 6, n_2 = 2: (7 * 4 - 32) / (56 - 32).
    assert finding.numbers["alpha_decided"] == pytest.approx(-4 / 24)
    assert (finding.n, finding.nulls) == (4, {"pair that nobody judged": 1})
    assert [row[:3] for row in finding.rows] == [
        ("response 1", 2, "50.0%"),
        ("response 2", 1, "25.0%"),
        ("cannot tell", 0, "0.0%"),
        ("no majority", 1, "25.0%"),
    ]
    people, two, disputed = finding.more
    # Each judged with response 1 left.
    assert [row[:6] for row in people.rows] == [
        ("a", 4, 3, 1, 0, "75%"), ("b", 3, 2, 1, 0, "67%"), ("c", 3, 1, 1, 1, "50%"),
    ]  # fmt: skip
    assert {row[7:] for row in people.rows} == {(2.5, 0)}
    assert [row[:5] + row[6:] for row in two.rows] == [
        ("a", "b", 3, 2, "67%", 1, 0), ("a", "c", 3, 1, "33%", 1, 1), ("b", "c", 3, 1, "33%", 1, 1),
    ]  # fmt: skip
    assert disputed.rows == (("q2", 1, 1, 1), ("q1", 2, 1, 0))
    assert "3 people judged 4 of 5 pairs; Krippendorff's alpha is 0.00" in finding.answer
    assert Finding.from_dict(finding.to_dict()) == finding


def test_full_agreement_and_what_cannot_be_measured() -> None:
    full = found({"q0": "11.", "q1": "22.", "q2": "tt."})
    assert full.numbers["alpha"] == 1.0
    assert [row[1] for row in full.rows] == [1, 1, 1, 0]
    assert len(full.more) == 2  # nothing disputed
    assert "all chose the same, so alpha is undefined" in found({"q0": "11."}).answer
    alone = found({"q0": "1..", "q1": "2.."})
    assert alone.answer == "1 person judged 2 of 5 pairs; no pair was judged by two, so agreement can't be measured."
    assert alone.numbers["alpha"] is None
    nobody = found({})
    assert (nobody.n, nobody.nulls) == (0, {"pair that nobody judged": 5})
    assert nobody.answer.startswith("0 people judged 0 of 5 pairs")
