"""Batched sampling with a key-value cache, on token ids."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ._compat import accepts, plain

Forward = Callable[..., Any]


class Sampled(NamedTuple):
    """Token ids of one response; when `ended`, the end token is the last of them."""

    ids: list[int]
    ended: bool


def row_noise(keys: Sequence[str], length: int, seed: int) -> np.ndarray:
    """Uniform numbers [N, length], a function of the seed and each row's key alone.

    The k-th repetition of a key gets its own numbers, so that equal rows are sampled independently.
    """
    seen: dict[str, int] = {}
    rows = np.empty((len(keys), length))
    for row, key in enumerate(keys):
        repetition = seen[key] = seen.get(key, -1) + 1
        digest = hashlib.sha256(f"{seed}:{repetition}:{key}".encode()).digest()
        rows[row] = np.random.Generator(np.random.Philox(int.from_bytes(digest[:16], "big"))).random(length)
    return rows


def sample_ids(
    model: Any,
    prompts: Sequence[Sequence[int]],
    limits: Sequence[int],
    *,
    temperature: float,
    stops: Sequence[int],
    pad: int,
    noise: np.ndarray | None,
    device: torch.device | str = "cpu",
) -> list[Sampled]:
    """Continue one batch of prompts until a stop token or each row's own limit.

    `noise` [N, >= max(limits)] holds one uniform number per row and step: the token is where the cumulative
    distribution softmax(logits / temperature) passes it. Temperature 0 (or no noise) is greedy.
    Rows that ended leave the batch, and a row's tokens don't depend on the other rows.
    """
    batch = _Batch(model, prompts, pad, device)
    greedy = temperature == 0 or noise is None
    uniform = None if greedy else torch.as_tensor(noise, dtype=torch.float64, device=device)
    stop = torch.tensor(list(stops), device=device)
    limit = torch.tensor(list(limits), device=device)
    taken: list[list[int]] = [[] for _ in prompts]
    ended = [False] * len(prompts)
    rows = torch.arange(len(prompts), device=device)
    for step in range(max(limits, default=0)):
        logits = batch.next_logits()
        tokens = logits.argmax(dim=-1) if uniform is None else pick(logits / temperature, uniform[rows, step])
        stopped = torch.isin(tokens, stop)
        done = stopped | (limit[rows] <= step + 1)
        for row, token, at_stop in zip(rows.tolist(), tokens.tolist(), stopped.tolist(), strict=True):
            taken[row].append(token)
            ended[row] = at_stop
        keep = (~done).nonzero().flatten()
        if not len(keep):
            break
        rows = rows[keep]
        batch.advance(tokens, keep if len(keep) < len(tokens) else None)
    return [Sampled(ids, end) for ids, end in zip(taken, ended, strict=True)]


def pick(logits: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """Tokens [B] by inverting the cumulative distribution of logits [B, V] at uniform [B] in [0, 1)."""
    return invert(torch.softmax(logits.double(), dim=-1), uniform)


def invert(probabilities: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """As `pick`, of probabilities [B, V], which may sum to a little more or less than 1."""
    cumulative = probabilities.cumsum(dim=-1, dtype=torch.float64)
    targets = (uniform * cumulative[:, -1]).unsqueeze(-1)
    return torch.searchsorted(cumulative, targets, right=True).squeeze(-1).clamp(max=probabilities.shape[-1] - 1)


class _Batch:
    """Left-padded rows and their cache."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]], pad: int, device: torch.device | str) -> None:
        self.model = model
        width = max((len(ids) for ids in prompts), default=0)
        padding = [width - len(ids) for ids in prompts]
        self.ids = torch.tensor([[pad] * n + list(ids) for n, ids in zip(padding, prompts, strict=True)], device=device)
        self.mask = torch.tensor([[0] * n + [1] * (width - n) for n in padding], device=device)
        self.positions = (self.mask.cumsum(1) - 1).clamp(min=0)
        self.cache: Any = None
        inner = plain(model)
        self.extra: dict[str, Any] = {"logits_to_keep": 1} if accepts(inner, "logits_to_keep") else {}
        self.placed = accepts(inner, "position_ids")

    def next_logits(self) -> torch.Tensor:
        """Logits [B, V] of the next token, float32."""
        places = {"position_ids": self.positions} if self.placed else {}
        output = self.model(
            input_ids=self.ids,
            attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=True,
            **places,
            **self.extra,
        )
        self.cache = output.past_key_values
        logits: torch.Tensor = output.logits[:, -1].float()
        return logits

    def advance(self, tokens: torch.Tensor, keep: torch.Tensor | None) -> None:
        """Append tokens [B]; with `keep`, go on with these rows only."""
        positions = self.positions[:, -1:] + 1
        if keep is not None:
            tokens, positions, self.mask = tokens[keep], positions[keep], self.mask[keep]
            self.cache.batch_select_indices(keep)
        self.ids, self.positions = tokens.unsqueeze(-1), positions
        self.mask = torch.cat([self.mask, torch.ones_like(self.ids)], dim=1)
