"""Answers of a policy to instructions."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from ..errors import SeamError
from ..progress import Progress, silent
from ._policy import Policy
from ._sampling import Sampled, invert, pick, row_noise, sample_ids

__all__ = ["Generation", "Sampled", "generate", "invert", "pick", "row_noise", "sample_ids"]


class Generation(NamedTuple):
    """One answer: `n_tokens` counts what was sampled, the end token included when `ended`.

    `prompt_cut` tokens of the prompt didn't fit the model's window and were cut off its left.
    """

    text: str
    n_tokens: int
    ended: bool
    prompt_cut: int = 0


def generate(
    policy: Policy,
    instructions: Sequence[str],
    *,
    max_new_tokens: int,
    temperature: float = 0.0,
    batch_size: int = 32,
    seed: int = 0,
    progress: Progress = silent,
) -> list[Generation]:
    """Continue `prompt_text(instruction)` for each instruction, in the order given; texts are stripped.

    A row's answer depends on its instruction, the seed and how often the same instruction came before, not on
    the batch it is in. Temperature 0 is greedy.
    """
    prompts, cut = _fit(policy, instructions, max_new_tokens)
    noise = row_noise(instructions, max_new_tokens, seed) if temperature > 0 else None
    order = sorted(range(len(prompts)), key=lambda row: -len(prompts[row]))
    found: dict[int, Sampled] = {}
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            sampled = sample_ids(
                policy.model,
                [prompts[row] for row in rows],
                [max_new_tokens] * len(rows),
                temperature=temperature,
                stops=stop_ids(policy),
                pad=policy.pad_id,
                noise=None if noise is None else noise[rows],
                device=policy.device,
            )
            found.update(zip(rows, sampled, strict=True))
            progress(len(found), len(order))
    decode = policy.tokenizer.decode
    return [
        Generation(decode(answer.ids, skip_special_tokens=True).strip(), len(answer.ids), answer.ended, prompt_cut)
        for answer, prompt_cut in ((found[row], cut[row]) for row in range(len(prompts)))
    ]


def stop_ids(policy: Policy) -> list[int]:
    """The tokenizer's end token and those of the model's generation settings."""
    declared = getattr(getattr(policy.model, "generation_config", None), "eos_token_id", None)
    more = declared if isinstance(declared, list) else [] if declared is None else [declared]
    return sorted({policy.eos_id, *more})


def _fit(policy: Policy, instructions: Sequence[str], new: int) -> tuple[list[list[int]], list[int]]:
    room = None if policy.window is None else policy.window - new
    if room is not None and room < 1:
        raise SeamError(f"max_new_tokens {new} leaves no room for a prompt in the model's {policy.window} tokens.")
    prompts = policy.prompt_ids(instructions)
    cut = [0 if room is None else max(0, len(ids) - room) for ids in prompts]
    return [ids[n:] for ids, n in zip(prompts, cut, strict=True)], cut
