import json
from collections import Counter
from pathlib import Path

import pytest

from seam_pipeline.annotation.pairs import Pair, Sheet, left_of, read_pairs
from seam_pipeline.errors import SeamError

from .made import pairs


def test_sides_are_fair_coins_for_each_person_and_pair() -> None:
    many = pairs(400)
    sides = {name: [left_of(pair, name, 0) for pair in many] for name in ("ann", "bob")}
    for own in sides.values():
        assert 160 < Counter(own)["1"] < 240
    same = sum(a == b for a, b in zip(*sides.values(), strict=True))
    assert 160 < same < 240
    assert sides["ann"] == [left_of(pair, "ann", 0) for pair in many]
    assert sides["ann"] != [left_of(pair, "ann", 1) for pair in many]


def test_everybody_has_one_order_which_the_seed_decides() -> None:
    orders = [[pair.id for pair in Sheet(pairs(20), seed).pairs] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(pair.id for pair in pairs(20)) != orders[0]
    assert [pair.id for pair in Sheet(pairs(20)[::-1], 0).pairs] == orders[0]


def test_a_side_means_the_response_that_stood_there() -> None:
    sheet = Sheet(pairs(20), 3)
    for position, pair in enumerate(sheet.pairs):
        for name in ("ann", "bob"):
            left, right = sheet.shown(position, name)
            for side, text in (("left", left), ("right", right)):
                choice = sheet.choice(position, name, side)  # type: ignore[arg-type]
                assert text == (pair.response_1 if choice == "1" else pair.response_2)
                assert sheet.side(position, name, choice) == side
            assert sheet.choice(position, name, "tie") == "tie" == sheet.side(position, name, "tie")


def test_a_token_fits_one_pair_person_and_seed() -> None:
    tokens = {
        Sheet(pairs(5), seed).token(position, name) for seed in (0, 1) for name in ("a", "b") for position in range(5)
    }
    assert len(tokens) == 20


def test_equal_answers_stand_as_they_come() -> None:
    twin = Pair("q", "i", "same", "same")
    assert {left_of(twin, name, 0) for name in "abcdefgh"} == {"1"}


def test_other_columns_go_along(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    row = {"id": 7, "instruction": "i", "response_1": "a", "response_2": "", "source_1": "GPT", "tags": ["x"]}
    file.write_text(json.dumps(row) + "\n")
    assert read_pairs(file) == [Pair("7", "i", "a", "", {"source_1": "GPT", "tags": ["x"]})]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([{"id": "a", "instruction": "i", "response_1": "x"}], "column response_2 is missing"),
        ([{"id": "a", "instruction": "i", "response_1": "x", "response_2": None}], "column response_2 is null"),
        ([{"id": "a", "instruction": "i", "response_1": "x", "response_2": "y"}] * 2, "id 'a' appears 2 times"),
        ([{"id": "a", "instruction": "i", "response_1": "x", "response_2": "y", "at": 1}], "column at has the name"),
    ],
)
def test_bad_pairs_are_one_sentence(tmp_path: Path, rows: list[dict[str, object]], sentence: str) -> None:
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(SeamError, match=sentence):
        read_pairs(file)
