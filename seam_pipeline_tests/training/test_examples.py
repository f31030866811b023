"""Cutting, counting and batching of training examples."""

import pytest

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import SFT
from seam_pipeline.training._examples import IGNORED, first_rows, preference_examples, sft_examples
from seam_pipeline.training._lengths import LengthGroups
from seam_pipeline.training._trl import Schedule, examples_seen, schedule
from seam_pipeline_tests.tiny import tiny_tokenizer

from .rows import preference_rows, sft_rows

TOKENIZER = tiny_tokenizer()


def replaced(table, column: str, values: list[str]):
    return table.set_column(table.column_names.index(column), table.schema.field(column), [values])


def test_labels_cover_response_and_end_only() -> None:
    rows = sft_rows(1)
    examples = sft_examples(TOKENIZER, rows, 1024)
    ids, labels = examples.columns["input_ids"][0], examples.columns["labels"][0]
    scored = [token for token in labels if token != IGNORED]
    assert labels == [IGNORED] * (len(ids) - len(scored)) + ids[-len(scored) :]
    assert scored[-1] == TOKENIZER.eos_token_id
    assert TOKENIZER.decode(scored[:-1]) == f" {rows['golden_response'][0]}"
    assert TOKENIZER.decode(ids[1 : -len(scored)]) == f"Question: {rows['instruction'][0]}\n\nAnswer:"
    assert (examples.size, examples.tokens, examples.cut) == (1, len(ids), 0)


def test_long_examples_keep_half_for_the_response_and_are_counted() -> None:
    rows = replaced(sft_rows(3), "instruction", ["hi", "9" * 60, "9" * 60])
    rows = replaced(rows, "golden_response", ["8" * 60, "8", "8" * 60])
    examples = sft_examples(TOKENIZER, rows, 40)
    lengths = [
        (len(ids), sum(token != IGNORED for token in labels)) for ids, labels in zip(*_pair(examples), strict=True)
    ]
    prompt = len(TOKENIZER("Question: hi\n\nAnswer:")["input_ids"])
    assert lengths == [(40, 40 - prompt), (40, 3), (40, 20)]
    assert examples.cut == 3
    assert examples.columns["input_ids"][1][-1] == TOKENIZER.eos_token_id
    assert examples.columns["input_ids"][2][-1] != TOKENIZER.eos_token_id


def _pair(examples) -> tuple[list, list]:
    return examples.columns["input_ids"], examples.columns["labels"]


def test_pairs_end_with_the_end_token_and_equal_ones_are_left_out() -> None:
    pairs = preference_rows(3)
    pairs = replaced(pairs, "instruction", ["hi", "hi", "9" * 60])
    pairs = replaced(pairs, "chosen", ["a", "a" * 60, "a"])
    pairs = replaced(pairs, "rejected", ["b", "b", "b"])
    examples = preference_examples(TOKENIZER, pairs, 40)
    assert (examples.size, examples.cut, examples.left_out) == (2, 2, 1)
    for side in ("chosen_ids", "rejected_ids"):
        assert all(ids[-1] == TOKENIZER.eos_token_id and len(ids) <= 40 for ids in examples.columns[side])


def test_first_rows_are_nested_and_bounded() -> None:
    rows = sft_rows(5)
    assert first_rows(rows, 3, "SFT examples", "policy.ranks")["id"].to_pylist() == ["0", "1", "2"]
    with pytest.raises(SeamError, match="6 SFT examples are wanted, but there are 5; lower policy.ranks"):
        first_rows(rows, 6, "SFT examples", "policy.ranks")


def test_schedules_count_optimizer_steps() -> None:
    assert schedule(SFT(batch_size=16), 50) == Schedule(4, 16, 1)
    assert schedule(SFT(batch_size=16, epochs=3), 50) == Schedule(12, 16, 1)
    assert schedule(SFT(batch_size=16, min_steps=20), 50) == Schedule(20, 16, 1)
    assert schedule(SFT(batch_size=16, gradient_accumulation=4), 50, steps=7) == Schedule(7, 4, 4)
    with pytest.raises(SeamError, match="cannot be divided into 3 equal micro-batches"):
        schedule(SFT(batch_size=16, gradient_accumulation=3), 50)
    assert examples_seen(SFT(batch_size=16), 50, 4) == 50
    assert examples_seen(SFT(batch_size=16), 50, 6) == 82
    assert examples_seen(SFT(batch_size=16), 0, 0) == 0


def test_batches_hold_similar_lengths_and_every_example_once() -> None:
    lengths = [(37 * n) % 101 for n in range(203)]
    sampler = LengthGroups(lengths, 10, seed=1)
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(203))
    assert first != second
    assert first == list(LengthGroups(lengths, 10, seed=1))
    assert first != list(LengthGroups(lengths, 10, seed=2))
    spread = [max(lengths[i] for i in batch) - min(lengths[i] for i in batch) for batch in _batches(first[:200])]
    assert sum(spread) / len(spread) < 25
    means = [sum(lengths[i] for i in batch) for batch in _batches(first[:80])]
    assert means not in (sorted(means), sorted(means, reverse=True))


def _batches(order: list[int]) -> list[list[int]]:
    return [order[at : at + 10] for at in range(0, len(order), 10)]
