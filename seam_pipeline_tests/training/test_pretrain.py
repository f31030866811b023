import itertools
import json

import pyarrow.parquet as pq
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from seam_pipeline.errors import SeamError
from seam_pipeline.experiment import Scratch, TestbedData
from seam_pipeline.testbed import World
from seam_pipeline.training.pretrain import _schedule, train_base

SMALL = Scratch(
    vocab_size=512,
    hidden_size=32,
    intermediate_size=64,
    layers=2,
    heads=2,
    max_length=64,
    steps=30,
    batch_size=8,
    block_size=32,
    learning_rate=1e-2,
)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return list(World(TestbedData(source="testbed", questions=60, topics=4)).pretraining_texts())


@pytest.fixture(scope="module")
def folder(texts, tmp_path_factory):
    calls = []
    out = train_base(
        texts, SMALL, tmp_path_factory.mktemp("base") / "one", 3, progress=lambda d, n: calls.append((d, n))
    )
    assert calls == [(i + 1, 30) for i in range(30)]
    return out


def test_loss_falls_and_everything_is_recorded(folder):
    metrics = pq.read_table(folder / "metrics.parquet").to_pydict()
    assert list(metrics) == ["step", "loss", "learning_rate", "tokens"]
    assert metrics["step"] == list(range(1, 31))
    assert metrics["tokens"][-1] == 30 * 8 * 32
    assert sum(metrics["loss"][-5:]) < 0.8 * sum(metrics["loss"][:5])
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["steps"] == 30
    assert summary["tokens"] == 30 * 8 * 32
    assert summary["final_loss"] == pytest.approx(sum(metrics["loss"][-10:]) / 10, abs=1e-5)


def test_folder_loads_with_transformers_and_keeps_the_tokens_apart(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert tokenizer.eos_token == "<|endoftext|>"
    assert tokenizer.pad_token_id != tokenizer.eos_token_id
    assert len(tokenizer) == 512 == model.config.vocab_size
    assert model.config.eos_token_id == tokenizer.eos_token_id
    text = "Question: naïve café?\n\nAnswer: loadTable 日本"
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.eos_token_id not in ids
    assert tokenizer.decode(ids) == text
    logits = model(torch.tensor([ids])).logits
    assert logits.shape == (1, len(ids), 512)
    assert torch.isfinite(logits).all()


def test_two_runs_are_identical_and_another_seed_is_not(folder, texts):
    again = train_base(iter(texts), SMALL, folder.parent / "two", 3)
    other = train_base(texts, SMALL, folder.parent / "three", 4)
    for path in folder.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name
    assert (folder / "model.safetensors").read_bytes() != (other / "model.safetensors").read_bytes()
    assert sorted(p.name for p in folder.parent.iterdir()) == ["one", "three", "two"]


def test_an_old_folder_is_replaced_whole(texts, tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "stale.txt").write_text("old")
    train_base(texts, SMALL.model_copy(update={"steps": 1}), tmp_path / "base", 0)
    assert not (tmp_path / "base" / "stale.txt").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["base"]


def test_what_cannot_be_trained_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(SeamError, match="not even one block"):
        train_base(["short"], SMALL, tmp_path / "base", 0)
    with pytest.raises(SeamError, match="block_size"):
        train_base(["a"], SMALL.model_copy(update={"block_size": 65}), tmp_path / "base", 0)
    assert not list(tmp_path.iterdir())


def test_reading_stops_when_there_is_enough_text(tmp_path):
    def endless():
        while True:
            yield "The same page of the manual again and again. "

    train_base(endless(), SMALL.model_copy(update={"steps": 2}), tmp_path / "base", 0)


def test_schedule_rises_then_falls():
    rates = [_schedule(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[4] == rates[5] == 1.0
    assert all(a > b for a, b in itertools.pairwise(rates[5:]))
    assert rates[-1] == pytest.approx(0.05, abs=1e-3)
