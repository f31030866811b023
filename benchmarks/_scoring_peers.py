"""What `scoring.py` compares ours with: (a) the authors' algorithm (SPEC.md, section 8), (b) plain sorted batching."""

from collections.abc import Iterator, Sequence

import torch
from transformers import pipeline

from seam_pipeline.models.prompt import full_text
from seam_pipeline.models.stack import Policy, RewardModel
from seam_pipeline.scoring.items import Item

BUDGET = 8192
"""Tokens of a batch, of ours as well."""


def authors_policy(policy: Policy, items: Sequence[Item]) -> list[float]:
    """One padded batch per instruction, log-softmax of everything, a Python loop over tokens."""
    values = []
    for item in items:
        pairs = [policy.token_ids(item.instruction, text) for text in item.responses]
        width = max(len(p) + len(r) for p, r in pairs)
        ids = torch.full((len(pairs), width), policy.pad_id)
        mask = torch.zeros_like(ids)
        for row, (prompt, response) in enumerate(pairs):
            ids[row, : len(prompt) + len(response)] = torch.tensor(prompt + response)
            mask[row, : len(prompt) + len(response)] = 1
        ids, mask = ids.to(policy.device), mask.to(policy.device)
        logprobs = policy.model(input_ids=ids, attention_mask=mask).logits.log_softmax(-1)
        for row, (prompt, response) in enumerate(pairs):
            total = 0.0
            for step, token in enumerate(response):
                total += logprobs[row, len(prompt) + step - 1, token].item()
            values.append(total)
    return values


def authors_reward(rm: RewardModel, items: Sequence[Item]) -> list[float]:
    """One text at a time through a pipeline."""
    score = pipeline(
        "text-classification", model=rm.model, tokenizer=rm.tokenizer, device=rm.device, function_to_apply="none"
    )
    return [score(full_text(item.instruction, text))[0]["score"] for item in items for text in item.responses]


def sorted_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda p: -lengths[p]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > BUDGET:
            yield batch
            batch = []
        batch.append(place)
    yield batch


def plain_policy(policy: Policy, items: Sequence[Item]) -> list[float]:
    """All sequences sorted by length, padded, logits of every token, gathered without a loop."""
    pairs = [policy.token_ids(item.instruction, text) for item in items for text in item.responses]
    values = [0.0] * len(pairs)
    for batch in sorted_batches([len(p) + len(r) for p, r in pairs]):
        rows = [pairs[place] for place in batch]
        encoded = policy.tokenizer.pad({"input_ids": [p + r for p, r in rows]}, return_tensors="pt").to(policy.device)
        logits = policy.model(**{key: encoded[key] for key in ("input_ids", "attention_mask")}).logits
        found = logits[:, :-1].log_softmax(-1).gather(-1, encoded["input_ids"][:, 1:, None])[..., 0]
        for place, row, (prompt, response) in zip(batch, found.float().cpu(), rows, strict=True):
            values[place] = float(row[len(prompt) - 1 : len(prompt) + len(response) - 1].sum())
    return values


def plain_reward(rm: RewardModel, items: Sequence[Item]) -> list[float]:
    """All texts sorted by length, padded, through the sequence classifier."""
    texts = rm.tokenizer([full_text(item.instruction, text) for item in items for text in item.responses])["input_ids"]
    values = [0.0] * len(texts)
    for batch in sorted_batches(list(map(len, texts))):
        encoded = rm.tokenizer.pad({"input_ids": [texts[place] for place in batch]}, return_tensors="pt").to(rm.device)
        logits = rm.model(**{key: encoded[key] for key in ("input_ids", "attention_mask")}).logits
        for place, value in zip(batch, logits[:, 0].tolist(), strict=True):
            values[place] = value
    return values
