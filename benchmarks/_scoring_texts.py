"""The texts of `scoring.py`: instructions and responses cut from posts, and a tokenizer trained on them."""

import os
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from seam_pipeline.scoring.items import Item

VOCABULARY = 32_000
RESPONSES = 31


def real_texts() -> Iterator[str]:
    """Bodies of posts as plain text."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data" / "stackexchange"
    for path in sorted(Path(os.environ.get("SEAM_REAL_DATA", beside)).glob("*/Posts.xml")):
        for _, row in ElementTree.iterparse(path):
            if row.get("Body"):
                yield unescape(re.sub(r"<[^>]+>", "", row.get("Body", ""))).strip()
            row.clear()


def generated_texts() -> Iterator[str]:
    """Words of random letters, Zipf distributed, when there are no posts."""
    rng = np.random.default_rng(0)
    words = ["".join(rng.choice(list("etaoinshrdlu"), rng.integers(2, 10))) for _ in range(20_000)]
    for _ in range(4000):
        yield " ".join(words[min(int(rank), len(words)) - 1] for rank in rng.zipf(1.3, 200))


def tokenizer_of(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE trained on the texts, padded to the full vocabulary by the model alone."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<pad>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="<pad>")


def items_of(texts: Sequence[str], tokenizer: Any, n: int) -> list[Item]:
    """n instructions of 50 to 400 tokens with 31 responses of 32 to 128, cut from consecutive posts."""
    rng = np.random.default_rng(0)
    stream = np.concatenate(tokenizer(list(texts), add_special_tokens=False)["input_ids"])
    place = 0

    def cut(low: int, high: int) -> str:
        nonlocal place
        length = int(rng.integers(low, high + 1))
        place += length
        return tokenizer.decode(stream[place - length : place]).strip() or "empty"

    return [
        Item(str(k), cut(50, 400), tuple(cut(32, 128) for _ in range(RESPONSES)), tuple(range(RESPONSES)))
        for k in range(n)
    ]
