"""Samples for the training sets: where they may come from, and how they are shared out."""

from typing import Any

import pyarrow as pa
import pytest

from seam_pipeline.candidates.augmentation import LEFT_OUT, Pool, _shared_out, augment, augmentation_pool
from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Contrast
from seam_pipeline.tables import PREFERENCE, RL, SFT

WIDE = Contrast(low=0.2, high=0.9999)
NONE = dict.fromkeys(LEFT_OUT, 0)


def sft(*rows: tuple[str, str, str, str]) -> pa.Table:
    names = ("id", "split", "instruction", "golden_response")
    return pa.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows], schema=SFT)


def rl(*rows: tuple[str, str, str, str]) -> pa.Table:
    plain = [{**row, "worse_response": None} for row in sft(*rows).to_pylist()]
    return pa.Table.from_pylist(plain, schema=RL)


def preference(*rows: tuple[Any, ...]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(PREFERENCE.names, row, strict=True)) for row in rows], schema=PREFERENCE)


def pool(*topics: str) -> Pool:
    rows = [(t, f"How do I store {t} at home?", f"Keep the {t} away from the stove, number {t}.") for t in topics]
    names = ("id", "instruction", "golden_response")
    return Pool(pa.Table.from_pylist([dict(zip(names, r, strict=True)) for r in rows]), NONE)


def test_the_pool_has_no_held_out_and_no_trained_question() -> None:
    told = sft(
        ("s1", "train", "Trained?", "a"), ("s2", "train", "Free?", "b"), ("s3", "train", "asked in a TEST", "c"),
        ("s4", "train", "Same as trained", "d"), ("s5", "dev", "Held out", "e"),
    )  # fmt: skip
    pairs = preference(
        ("p1:0", "p1", "train", "Pair?", "good", "bad", 3, 1), ("p1:1", "p1", "train", "Pair?", "best", "bad", 5, 1),
        ("p2:0", "p2", "test", "Asked in a test!", "x", "y", 2, 1),
    )  # fmt: skip
    asked = rl(("r1", "train", "Reward?", "f"), ("r2", "train", "free", "again"), ("r3", "train", "held out?", "g"))
    trained = sft(("s1", "train", "Trained?", "a"), ("t", "train", "same as trained!", "z"))
    found = augmentation_pool(told, pairs, asked, trained)
    rows = [tuple(row.values()) for row in found.rows.to_pylist()]
    assert rows == [("s2", "Free?", "b"), ("p1", "Pair?", "best"), ("r1", "Reward?", "f")]
    assert list(found.counts.values()) == [2, 2, 1]


def test_rows_are_shared_out_in_turns_and_used_once() -> None:
    near = {"a": [("x", 0.9), ("y", 0.8), ("z", 0.7)], "b": [("x", 0.9), ("y", 0.85)], "c": []}
    assert _shared_out(near, 2) == [("a", "x", 0.9), ("b", "y", 0.85), ("a", "z", 0.7)]


@pytest.mark.parametrize("order", ["own", "contrast"])
def test_both_training_sets_get_the_same_neighbours(order: Any) -> None:
    chosen = rl(("q", "train", "How do I store coffee at home?", "In a tin."))
    found = augment(chosen, pool("tea", "wine", "rice"), preference(), WIDE, 2, order)
    assert found.sft.schema == SFT
    assert found.preference.schema == PREFERENCE
    first, pair = found.sft.to_pylist()[0], found.preference.to_pylist()[0]
    assert first["id"] == "tea"
    assert (first["instruction"], first["split"]) == ("How do I store tea at home?", "train")
    assert first["golden_response"] == "Keep the tea away from the stove, number tea."
    expected = {
        "own": ("q", "How do I store coffee at home?", "In a tin.", first["golden_response"]),
        "contrast": ("tea", first["instruction"], first["golden_response"], "In a tin."),
    }[order]
    assert tuple(pair[k] for k in ("question_id", "instruction", "chosen", "rejected")) == expected
    assert pair["id"] == "q:tea"
    assert found.samples.to_pylist()[0]["similarity"] > found.samples.to_pylist()[1]["similarity"]
    counts = dict(zip(*found.counts.to_pydict().values(), strict=True))
    assert counts["SFT examples added"] == counts["preference pairs added"] == 2
    assert counts["instructions with fewer than 2 samples"] == 0


def test_a_pair_that_the_reward_model_knows_is_not_repeated() -> None:
    chosen = rl(("q", "train", "How do I store coffee at home?", "In a tin."))
    rejected = "keep the tea away from the stove - number tea"
    known = preference(("k:0", "k", "train", "How do I store coffee at home?", "In a tin!", rejected, 3, 1))
    found = augment(chosen, pool("tea", "wine"), known, WIDE, 2)
    assert found.sft["id"].to_pylist() == ["tea", "wine"]
    assert found.preference["id"].to_pylist() == ["q:wine"]
    counts = dict(zip(*found.counts.to_pydict().values(), strict=True))
    assert counts["pairs left out: already a training pair"] == 1


def test_short_sets_are_counted_and_none_at_all_is_refused() -> None:
    chosen = rl(("q", "train", "How do I store coffee at home?", "In a tin."), ("f", "train", "%%%", "Elsewhere."))
    narrow = Contrast(low=0.5, high=0.9999)
    counts = dict(zip(*augment(chosen, pool("tea"), preference(), narrow, 2).counts.to_pydict().values(), strict=True))
    assert counts["instructions chosen"] == 2
    assert counts["instructions with fewer than 2 samples"] == 2
    assert counts["instructions without a sample"] == 1
    with pytest.raises(SeamError, match=r"no pool question lies in the band \[0.99, 0.999\] of the 2 chosen"):
        augment(chosen, pool("tea"), preference(), Contrast(low=0.99, high=0.999), 2)
