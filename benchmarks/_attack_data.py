"""Rows and reward models for `adversarial.py`."""

import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

from seam_pipeline.models.stack import RewardModel

SIZES = {"tiny": (128, 352, 2, 4, 2_000), "small": (256, 704, 3, 4, 4_000), "large": (512, 1536, 8, 8, 24_000)}
"""Width, inner width, layers, heads, vocabulary."""


def posts() -> Iterator[dict[str, str]]:
    """RL rows of questions whose worst answer has 100 to 200 words."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "stackexchange"
    for path in sorted(Path(os.environ.get("SEAM_REAL_DATA", beside)).glob("*/Posts.xml")):
        questions: dict[str, str] = {}
        answers: dict[str, list[tuple[int, str]]] = {}
        for _, row in ElementTree.iterparse(path):
            body = unescape(re.sub(r"<[^>]+>", "", row.get("Body", ""))).strip()
            if row.get("PostTypeId") == "1":
                questions[row.get("Id", "")] = f"{row.get('Title', '')}\n\n{body}"
            elif row.get("PostTypeId") == "2":
                answers.setdefault(row.get("ParentId", ""), []).append((int(row.get("Score", 0)), body))
            row.clear()
        for key, given in answers.items():
            (least, worse), (most, golden) = min(given), max(given)
            if least < most and key in questions and 100 <= len(worse.split()) <= 200:
                yield row_of(f"{path.parent.name}-{key}", questions[key], golden, worse)


def row_of(id: str, instruction: str, golden: str, worse: str) -> dict[str, str]:
    return {"id": id, "instruction": instruction, "golden_response": golden, "worse_response": worse}


def testbed_rows() -> Iterator[dict[str, str]]:
    """Rows of the testbed where there are no posts: short responses."""
    from seam_pipeline.experiment import TestbedData
    from seam_pipeline.testbed import World

    by_question: dict[str, list[dict[str, Any]]] = {}
    for row in World(TestbedData()).question_answers().to_pylist():
        by_question.setdefault(row["question_id"], []).append(row)
    for key, rows in by_question.items():
        worst, *_, best = sorted(rows, key=lambda r: r["answer_score"]) if len(rows) > 1 else (None, None)
        if worst and best and worst["answer_score"] < best["answer_score"]:
            yield row_of(key, worst["question"], best["answer"], worst["answer"])


def model_of(size: str, texts: Sequence[str]) -> RewardModel:
    """A random LLaMA that reads an end token, with a byte-level BPE trained on the texts."""
    hidden, inner, layers, heads, vocabulary = SIZES[size]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<pad>", "</s>"]
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="<pad>")
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, max_position_embeddings=4096, pad_token_id=0, eos_token_id=1, bos_token_id=None,
        num_labels=1, initializer_range=0.05,
    )  # fmt: skip
    torch.manual_seed(0)
    return RewardModel(LlamaForSequenceClassification(config).eval(), tokenizer, append_eos=True)


def reward(rm: RewardModel, instruction: str, response: str) -> float:
    return rm.rewards([rm.token_ids(instruction, response)])[0]


def picked(rm: RewardModel, given: Sequence[dict[str, str]], n: int) -> list[dict[str, str]]:
    """Of 4 n random rows whose golden response the model prefers, the n with the least to turn over."""
    gaps: list[tuple[float, int]] = []
    for place in np.random.default_rng(0).permutation(len(given)):
        row = given[place]
        texts = [row["golden_response"], row["worse_response"]]
        if all(len(text.split()) <= 400 for text in [row["instruction"], *texts]):
            gap = reward(rm, row["instruction"], texts[0]) - reward(rm, row["instruction"], texts[1])
            gaps += [(gap, int(place))] if gap > 0 else []
        if len(gaps) == 4 * n:
            break
    return [given[place] for _, place in sorted(gaps)[:n]]
