import pytest

from seam_pipeline.annotation._judgement import majority
from seam_pipeline.annotation.agreement import choices_by_pair, krippendorff_alpha, pairwise

from .made import judged, pairs

# Krippendorff 2011, Computing Krippendorff's Alpha-Reliability. A: two observers, binary. B: two observers, nominal.
# C: four observers, gaps; one word per unit.
A = zip("0100000010", "1110010000", strict=True)
B = zip("aabbdcccedda", "babbbccceddd", strict=True)
C = ["111", "2232", "3333", "3333", "2222", "1234", "4444", "1121", "2222", "555", "11", "3"]


def test_alpha_of_the_published_examples() -> None:
    # 0: 14, 1: 6; o_00 = 10, o_11 = 2: (19 * 12 - (14 * 13 + 6 * 5)) / (20 * 19 - 212) = 16 / 168 = 0.095.
    assert krippendorff_alpha(A) == pytest.approx(0.095, abs=5e-4)
    assert krippendorff_alpha(B) == pytest.approx(0.692, abs=5e-4)
    assert krippendorff_alpha(C) == pytest.approx(0.743, abs=5e-4)


def test_alpha_at_its_ends() -> None:
    assert krippendorff_alpha([["1", "1"], ["2", "2"], ["tie"]]) == 1.0
    assert krippendorff_alpha([["1", "1"], ["1", "1"]]) is None
    assert krippendorff_alpha([["1"], ["2"]]) is None
    assert krippendorff_alpha([]) is None
    # Two values, always opposite: n = 4, o_cc = 0: (0 - 4) / (12 - 4).
    assert krippendorff_alpha([["1", "2"], ["2", "1"]]) == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("choices", "most"),
    [
        ("", None),
        ("1", "1"),
        ("2", "2"),
        ("t", "tie"),
        ("12", "tie"),
        ("1t", "tie"),
        ("11t", "1"),
        ("112", "1"),
        ("122", "2"),
        ("12t", "tie"),
        ("1tt", "tie"),
        ("1122t", "tie"),
        ("22tt1", "tie"),
    ],
)
def test_majority(choices: str, most: str | None) -> None:
    assert majority("tie" if c == "t" else c for c in choices) == most


def test_each_two_people() -> None:
    one, two, three, four, *_ = pairs()
    rows = [judged(one, "a", "1"), judged(one, "b", "1"), judged(two, "a", "1"), judged(two, "b", "2")]
    rows += [judged(three, "a", "tie"), judged(three, "b", "2"), judged(four, "a", "1"), judged(four, "c", "1")]
    assert pairwise(choices_by_pair(rows)) == [("a", "b", 3, 1, 1), ("a", "c", 1, 1, 0)]
