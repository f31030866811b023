"""What the scorers must equal: one text at a time, plain forwards, loops over tokens."""

from collections.abc import Sequence
from typing import Any

import torch

from seam_pipeline.models.stack import Policy, RewardModel
from seam_pipeline.scoring.items import Item

QUESTIONS = [
    "How do I brew a pale ale at home?",
    "Why is my yeast not starting?\n\nIt has been **two days**, and `gravity` has not moved at all.",
    "Hops?",
    "What water is best for a stout, and does the hardness of it matter more than its temperature?",
]
ANSWERS = [
    "Boil the wort, add the hops, cool it and pitch the yeast.",
    "Boil the wort, add the hops, cool it and drink it at once, without the yeast.",
    "Boil the wort.",
    "Yes",
    "No, never; it would only make the ale sour and flat, and nobody wants that in the end, I think.",
    "\n- pitch more\n- wait",
]


def items(answers: Sequence[str] = ANSWERS) -> list[Item]:
    """Every question with every answer, the questions' answers rotated so that no two items are alike."""
    found = []
    for number, question in enumerate(QUESTIONS):
        texts = tuple(answers[number:]) + tuple(answers[: max(0, number - 1)])
        found.append(Item(f"q{number}", question, texts, tuple(range(len(texts)))))
    return found


def loglik(policy: Policy, instruction: str, response: str, longest: int | None = None) -> tuple[float, int]:
    """(sum of log P in nats, tokens) of one response."""
    tokenizer: Any = policy.tokenizer
    prompt = tokenizer(f"Question: {instruction}\n\nAnswer:")["input_ids"]
    answer = tokenizer(f" {response}", add_special_tokens=False)["input_ids"]
    answer = answer[:longest] if longest is not None and len(answer) > longest else [*answer, tokenizer.eos_token_id]
    return continuation(policy.model, prompt, answer), len(answer)


def continuation(model: Any, context: list[int], answer: list[int]) -> float:
    """Sum of log P of the answer's tokens after the context."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([context + answer])).logits[0].double()
    total = 0.0
    for place, token in enumerate(answer):
        total += float(torch.log_softmax(logits[len(context) + place - 1], dim=-1)[token])
    return total


def reward(rm: RewardModel, instruction: str, response: str) -> float:
    """The head at the last token of one text."""
    tokenizer: Any = rm.tokenizer
    ids = tokenizer(f"Question: {instruction}\n\nAnswer: {response}")["input_ids"]
    ids = [*ids, tokenizer.eos_token_id] if rm.append_eos else ids
    with torch.no_grad():
        return float(rm.model(input_ids=torch.tensor([ids])).logits[0, 0])
