"""Sizes of models and datasets before anything is built."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

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

    rl_train: int
    rl_test: int
    preference_train: int
    preference_test: int
    prompt_tokens: float
    response_tokens: float
    measured: bool


def data_size(experiment: Experiment, store: Store) -> DataSize:
    """Counted when the datasets exist, else estimated from the experiment's own numbers."""
    rl, preference = _table(store, "rl_data"), _table(store, "preference_data")
    if rl is not None and preference is not None:
        splits = rl["split"].to_pylist()
        texts = rl.slice(0, 500).to_pylist()
        per_token = 4.0
        return DataSize(
            splits.count("train"),
            splits.count("test"),
            preference["split"].to_pylist().count("train"),
            preference["split"].to_pylist().count("test"),
            sum(len(t["instruction"]) for t in texts) / max(len(texts), 1) / per_token,
            sum(len(t["golden_response"]) for t in texts) / max(len(texts), 1) / per_token,
            True,
        )
    data = experiment.data
    questions = data.questions if isinstance(data, TestbedData) else (data.max_questions or 10_000) * len(data.paths)
    shares = data.splits.segments
    train = 1 - data.splits.dev - data.splits.test
    length, pairs = experiment.rl.ppo.max_new_tokens, min(3, data.splits.pairs_per_question)
    return DataSize(
        round(questions * shares["rl"] * train),
        round(questions * shares["rl"] * data.splits.test),
        round(questions * shares["preference"] * train * pairs),
        round(questions * shares["preference"] * data.splits.test * pairs),
        min(2.0 * length, experiment.rl.ppo.max_prompt_tokens / 2),
        float(length),
        False,
    )


def _table(store: Store, name: str) -> "pq.Table | None":
    path = store.path(name) / "table.parquet"
    return pq.read_table(path) if path.is_file() else None
