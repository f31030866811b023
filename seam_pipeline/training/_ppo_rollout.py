"""Sampling responses with a key-value cache, keeping what the update needs: log-probabilities and values."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from ..models.generate import invert
from ._divided import anywhere
from ._parallel import divides
from ._ppo_lean import Lean
from ._ppo_math import entropy
from ._ppo_prompts import length_groups
from ._ppo_views import View, Views

COMPACT = 0.75
"""Rows that ended stay in the batch until so small a share is left: dropping them copies the cache."""


@dataclass
class Rollout:
    """A batch of B responses of at most T tokens, in the order of the prompts.

    `sequences` [B, L] is prompt and response without a gap, padded on the right. `tokens`, `logp`, `values` and
    `entropy` are [B, T]; `mask` [B, T] is True on the response's tokens, its end token included: a matter of position,
    never of the token's id. `logp` (nats, at the rollout's temperature), `values` and `entropy` are float32, of the
    policy that sampled. `ended` [B]: the last token is an end token.
    """

    sequences: Tensor
    prompt_lengths: Tensor
    tokens: Tensor
    mask: Tensor
    logp: Tensor
    values: Tensor
    entropy: Tensor
    ended: Tensor

    @property
    def lengths(self) -> Tensor:
        """Response tokens [B]."""
        return self.mask.sum(1)

    def select(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(ids [n, W], row and place of the hidden state before each response token, both [N]) of some rows.

        W is trimmed to these rows, less the last token, which predicts nothing. N runs over `mask[rows]` row by row.
        """
        mask, start = self.mask[rows], self.prompt_lengths[rows]
        width = int((start + mask.sum(1)).max()) - 1
        row, token = mask.nonzero(as_tuple=True)
        return self.sequences[rows, :width], row, start[row] - 1 + token


class Decoder(Protocol):
    """Advances a batch token by token; hidden states are the trunk's last ones."""

    def start(self, prompts: Sequence[Sequence[int]], room: int) -> Tensor:
        """Read the prompts; hidden states [B, H] of their last tokens."""

    def step(self, tokens: Tensor, keep: Tensor | None) -> Tensor:
        """Append tokens [B]; with `keep` [b], go on with these rows only. Hidden states [b, H]."""


def sample(
    views: Views,
    view: View,
    head: torch.nn.Module,
    prompts: Sequence[Sequence[int]],
    limits: Tensor,
    noise: Tensor,
    *,
    temperature: float,
    stops: Sequence[int],
    pad: int,
) -> Rollout:
    """Continue each prompt until a token of `stops` or `limits` [B] tokens, inside `views.entered(view)`.

    `noise` [B, >= limits.max()], uniform in [0, 1), picks the tokens by the inverse cumulative distribution of
    softmax(logits / temperature): a row's response depends on its own noise and prompt alone.
    """
    device, longest = views.stack.device, anywhere(int(limits.max()))
    outcome = _empty(prompts, longest, pad, device)
    decoder: Decoder = _LeanDecoder(view.lean, device) if view.lean else _Decoder(views, pad)
    stop, limits, noise = torch.tensor(list(stops), device=device), limits.to(device), noise.to(device)
    rows = torch.arange(len(prompts), device=device)
    alive = torch.ones_like(rows, dtype=torch.bool)
    with torch.no_grad() if divides() else torch.inference_mode():
        hidden = decoder.start(prompts, longest)
        for step in range(longest):
            logp = torch.log_softmax(views.stack.lm_logits(hidden).float() / temperature, -1)
            tokens = invert(logp.exp(), noise[rows, step])
            stopped = torch.isin(tokens, stop)
            _record(outcome, rows, alive, step, tokens, logp, head(hidden.float()).squeeze(-1), stopped)
            alive &= ~stopped & (limits[rows] > step + 1)
            living = alive.nonzero().flatten()
            if not anywhere(len(living)):
                break
            keep = living if 0 < len(living) <= COMPACT * len(rows) else None
            hidden = decoder.step(tokens, keep)
            if keep is not None:
                rows, alive = rows[keep], alive[keep]
    return _trimmed(outcome)


def _empty(prompts: Sequence[Sequence[int]], longest: int, pad: int, device: torch.device) -> Rollout:
    size, width = len(prompts), max(map(len, prompts)) + longest
    sequences = torch.tensor([[*row, *[pad] * (width - len(row))] for row in prompts], device=device)
    lengths = torch.tensor([len(row) for row in prompts], device=device)
    logp, values, entropies = torch.zeros(3, size, longest, device=device)
    tokens = torch.full((size, longest), pad, device=device)
    mask = torch.zeros(size, longest, dtype=torch.bool, device=device)
    return Rollout(sequences, lengths, tokens, mask, logp, values, entropies, mask.new_zeros(size))


def _record(
    outcome: Rollout,
    rows: Tensor,
    alive: Tensor,
    step: int,
    tokens: Tensor,
    logp: Tensor,
    values: Tensor,
    stopped: Tensor,
) -> None:
    row, tokens = rows[alive], tokens[alive]
    outcome.tokens[row, step] = tokens
    outcome.sequences[row, outcome.prompt_lengths[row] + step] = tokens
    outcome.mask[row, step] = True
    outcome.logp[row, step] = logp[alive, tokens]
    outcome.entropy[row, step] = entropy(logp)[alive]
    outcome.values[row, step] = values[alive]
    outcome.ended[row] = stopped[alive]


def _trimmed(outcome: Rollout) -> Rollout:
    width = int(outcome.lengths.max())
    total = int((outcome.prompt_lengths + outcome.lengths).max())
    return Rollout(
        outcome.sequences[:, :total],
        outcome.prompt_lengths,
        outcome.tokens[:, :width],
        outcome.mask[:, :width],
        outcome.logp[:, :width],
        outcome.values[:, :width],
        outcome.entropy[:, :width],
        outcome.ended,
    )


class _LeanDecoder:
    """Prompts padded on the right: a token's slot in the cache is its position."""

    def __init__(self, lean: Lean, device: torch.device) -> None:
        self.lean, self.device = lean, device

    def start(self, prompts: Sequence[Sequence[int]], room: int) -> Tensor:
        self.lengths = [len(row) for row in prompts]
        self.places = torch.tensor(self.lengths, device=self.device)
        self.cache = self.lean.cache(len(prompts), max(self.lengths) + room)
        last = self.lean.embedding.new_empty(len(prompts), self.lean.width)
        for group in length_groups(self.lengths, len(prompts)):
            width, rows = self.lengths[group[0]], torch.tensor(group, device=self.device)
            ids = [[*prompts[row], *[0] * (width - self.lengths[row])] for row in group]
            row, place = torch.arange(len(group), device=self.device), self.places[rows] - 1
            last[rows] = self.lean.states(torch.tensor(ids, device=self.device), row, place, self.cache, rows)
        return last

    def step(self, tokens: Tensor, keep: Tensor | None) -> Tensor:
        if keep is not None:
            tokens, self.places = tokens[keep], self.places[keep]
            self.lengths = [self.lengths[row] for row in keep.tolist()]
            self.cache.keep(keep)
        hidden = self.lean.step(tokens, self.places, max(self.lengths) + 1, self.cache)
        self.places, self.lengths = self.places + 1, [length + 1 for length in self.lengths]
        return hidden


class _Decoder:
    """Any causal model of the library: prompts padded on the left, its own cache."""

    def __init__(self, views: Views, pad: int) -> None:
        self.trunk, self.placed = views.trunk, views.placed
        self.pad, self.device = pad, views.stack.device
        self.cache: Any = None

    def start(self, prompts: Sequence[Sequence[int]], room: int) -> Tensor:
        padding = [max(map(len, prompts)) - len(row) for row in prompts]
        ids = [[*[self.pad] * n, *row] for n, row in zip(padding, prompts, strict=True)]
        mask = [[0] * n + [1] * len(row) for n, row in zip(padding, prompts, strict=True)]
        self.mask = torch.tensor(mask, device=self.device)
        self.places = (self.mask.cumsum(1) - 1).clamp_min(0)
        return self._forward(torch.tensor(ids, device=self.device))

    def step(self, tokens: Tensor, keep: Tensor | None) -> Tensor:
        places = self.places[:, -1:] + 1
        if keep is not None:
            tokens, places, self.mask = tokens[keep], places[keep], self.mask[keep]
            self.cache.batch_select_indices(keep)
        self.places, self.mask = places, torch.cat((self.mask, torch.ones_like(places)), 1)
        return self._forward(tokens[:, None])

    def _forward(self, ids: Tensor) -> Tensor:
        places = {"position_ids": self.places} if self.placed else {}
        output = self.trunk(
            input_ids=ids, attention_mask=self.mask, past_key_values=self.cache, use_cache=True, **places
        )
        self.cache = output.past_key_values
        hidden: Tensor = output.last_hidden_state[:, -1]
        return hidden
