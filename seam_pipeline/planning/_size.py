"""Sizes of models and datasets before anything is built."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..experiment import BaseModelSettings, Experiment, Lora, Scratch, TestbedData
from ..store import Store


@dataclass(frozen=True)
class ModelSize:
    """Parameters and the shape that LoRA's size depends on."""

    parameters: float
    hidden: int
    layers: int
    assumed: bool = False
    """Taken from the name alone."""


def scratch_size(settings: Scratch) -> ModelSize:
    """Parameters of a LLaMA with tied embeddings: vocabulary, attention and gated feed-forward layers."""
    h, i = settings.hidden_size, settings.intermediate_size
    parameters = settings.vocab_size * h + settings.layers * (4 * h * h + 3 * h * i + 2 * h) + h
    return ModelSize(parameters, h, settings.layers)


def model_size(base: BaseModelSettings) -> ModelSize | None:
    """From the settings, the folder's config.json, or a name such as `Llama-2-7b`; None when nothing tells."""
    if base.scratch is not None:
        return scratch_size(base.scratch)
    assert base.path is not None
    config = Path(base.path) / "config.json"
    if config.is_file():
        c = json.loads(config.read_text())
        h, layers = c["hidden_size"], c["num_hidden_layers"]
        kv = c.get("num_key_value_heads", c["num_attention_heads"]) / c["num_attention_heads"]
        inner = c.get("intermediate_size", 4 * h)
        parameters = 2 * c["vocab_size"] * h + layers * ((2 + 2 * kv) * h * h + 3 * h * inner)
        return ModelSize(parameters, h, layers)
    named = re.search(r"(\d+(?:\.\d+)?)[bB]\b", base.path.replace("_", "-"))
    if named is None:
        return None
    billions = float(named.group(1))
    hidden, layers = (4096, 32) if billions < 10 else (5120, 40) if billions < 30 else (8192, 80)
    return ModelSize(billions * 1e9, hidden, layers, assumed=True)


def lora_bytes(size: ModelSize, lora: Lora) -> float:
    """Bytes of a float32 adapter: r x (in + out) per target module and layer, square modules assumed."""
    return 4.0 * lora.r * 2 * size.hidden * len(lora.target_modules) * size.layers


@dataclass(frozen=True)
class DataSize:
    """Rows that the stages will see, and tokens per text."""

    questions: int
    answers: float
    """Per question."""
    sft_train: int
    rl_train: int
    rl_test: int
    preference_train: int
    preference_test: int
    prompt_tokens: float
    response_tokens: float
    measured: bool


CHARACTERS_PER_TOKEN = 4.0
FILE_TOKENS = (180.0, 340.0)
"""Prompt and golden response; characters / 4 of three Stack Exchange sites (1,000 questions) as ingested here."""
TESTBED_TOKENS = (15.0, 16.0)
"""The same of the testbed's own texts."""
TEMPLATE_TOKENS = 8.0
"""What the prompt's words around the question and the special tokens add."""


def data_size(experiment: Experiment, store: Store) -> DataSize:
    """Counted when the datasets exist, else estimated from the experiment's own numbers."""
    sft, preference, rl = (_table(store, f"{segment}_data") for segment in ("sft", "preference", "rl"))
    if sft is not None and preference is not None and rl is not None:
        return _counted(sft, preference, rl)
    data = experiment.data
    on_testbed = isinstance(data, TestbedData)
    questions = data.questions if isinstance(data, TestbedData) else (data.max_questions or 10_000) * len(data.paths)
    shares, pairs = data.splits.segments, min(3, data.splits.pairs_per_question)
    train = 1 - data.splits.dev - data.splits.test
    prompt, response = TESTBED_TOKENS if on_testbed else FILE_TOKENS
    return DataSize(
        questions,
        data.answers_per_question if isinstance(data, TestbedData) else 3.0,
        round(questions * shares["sft"] * train),
        round(questions * shares["rl"] * train),
        round(questions * shares["rl"] * data.splits.test),
        round(questions * shares["preference"] * train * pairs),
        round(questions * shares["preference"] * data.splits.test * pairs),
        prompt + TEMPLATE_TOKENS,
        response,
        False,
    )


def _counted(sft: pa.Table, preference: pa.Table, rl: pa.Table) -> DataSize:
    def rows(table: pa.Table, split: str) -> int:
        return table["split"].to_pylist().count(split)

    def tokens(column: str) -> float:
        return (pc.mean(pc.utf8_length(rl[column])).as_py() or 0) / CHARACTERS_PER_TOKEN

    asked = len(pc.unique(preference["question_id"]))
    return DataSize(
        sft.num_rows + rl.num_rows + asked,
        3.0,
        rows(sft, "train"),
        rows(rl, "train"),
        rows(rl, "test"),
        rows(preference, "train"),
        rows(preference, "test"),
        tokens("instruction") + TEMPLATE_TOKENS,
        tokens("golden_response"),
        True,
    )


def _table(store: Store, name: str) -> pa.Table | None:
    path = store.local(name) / "table.parquet"
    return pq.read_table(path) if path.is_file() else None
