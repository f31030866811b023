"""Rewards of many changed versions of one response, sharing what their beginnings have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache

from ..models._compat import trunk_of
from ..models._tokens import prompt_ids
from ..scoring._tokens import cut_left, n_leading
from ._groups import common, groups

if TYPE_CHECKING:
    from ..models.stack import RewardModel

Layers = list[tuple[torch.Tensor, torch.Tensor]]
_FEW = 4
"""Texts from which on computing their common beginning first is worth it."""


@dataclass(frozen=True)
class _Beginning:
    """Tokens whose keys and values [1, heads, tokens, d] per layer are known."""

    tokens: list[int]
    layers: Layers


class RewardQueries:
    """R(I, .) for one instruction: cached by text, counted, computed in batches behind a shared beginning.

    Keys and values of two beginnings are kept: of the spine (the text that the attack starts from) and of what the
    latest batch had in common, a walk's current text. A batch computes only the tokens after what it shares with one of
    them; encoders and sliding windows read whole texts. Same rewards as one text at a time, up to rounding.
    """

    def __init__(self, rm: "RewardModel", instruction: str, spine: str) -> None:
        self._rm, self._instruction, self._spine_text = rm, instruction, spine
        self._beginnings: list[_Beginning] | None = None
        self._positions = _positions(rm)
        self._special = frozenset(rm.tokenizer.all_special_ids)
        self._overhead = 48 if torch.device(rm.device).type == "cpu" else 4096
        self.tokens = 0
        """Tokens that went through the model, padding included."""
        self.restart()

    def restart(self) -> None:
        """Forget the rewards, the count and the walk, not the spine: what follows depends on nothing before."""
        self._known: dict[str, float] = {}
        self.count = 0
        """Texts that the reward model has read; a cached text is not read again."""
        del (self._beginnings or [])[1:]

    def known(self, response: str) -> bool:
        """Whether this response's reward is there already."""
        return response in self._known

    def __call__(self, responses: Sequence[str]) -> list[float]:
        """One reward per response; a reward that is not finite comes back as it is."""
        new = list(dict.fromkeys(r for r in responses if r not in self._known))
        if new:
            self.count += len(new)
            self._known.update(zip(new, self._read(self._encode(new)), strict=True))
        return [self._known[r] for r in responses]

    def fits(self, response: str) -> bool:
        """Whether the model's positions hold this response and a token of its prompt."""
        (ids,) = self._rm.encode([(self._instruction, response)])
        (prompt,) = prompt_ids(self._rm.tokenizer, [self._instruction])
        return self._positions is None or len(ids) - self._positions < len(prompt) - n_leading(ids, self._special)

    def _encode(self, responses: Sequence[str]) -> list[list[int]]:
        """Token ids; a text longer than the model's positions loses tokens of its prompt on the left, as in scoring."""
        encoded = self._rm.encode([(self._instruction, r) for r in responses])
        return [cut_left(ids, self._positions, self._special)[0] for ids in encoded]

    def _read(self, tokens: list[list[int]]) -> list[float]:
        if self._beginnings is None:
            self._beginnings = self._spine() if self._rm.head is not None else []
        if not self._beginnings:
            self.tokens += sum(map(len, tokens))
            return self._rm.rewards(tokens)
        self._follow(tokens)
        values = [0.0] * len(tokens)
        shared = [[common(t, b.tokens) for b in self._beginnings] for t in tokens]
        for number, beginning in enumerate(self._beginnings):
            mine = [i for i, each in enumerate(shared) if each.index(max(each)) == number]
            lengths = [len(tokens[i]) for i in mine]
            for group in groups([shared[i][number] for i in mine], lengths, self._overhead):
                members = [mine[place] for place in group]
                prefix = min(shared[i][number] for i in members)
                batch = [tokens[i] for i in members]
                for i, value in zip(members, self._rewards(batch, beginning, prefix), strict=True):
                    values[i] = value
        return values

    @torch.inference_mode()
    def _spine(self) -> list[_Beginning]:
        """The spine's beginning; none where a layer keeps only a window of it, or where it is not finite."""
        (tokens,) = self._encode([self._spine_text])
        layers = self._compute([tokens], None, 0)[1]
        whole = all(keys.shape[2] == len(tokens) for keys, _ in layers)
        return [_Beginning(tokens, layers)] if whole and _finite(layers) else []

    @torch.inference_mode()
    def _follow(self, tokens: list[list[int]]) -> None:
        """Keep what these texts have in common where that is worth a pass of its own."""
        assert self._beginnings
        if len(tokens) < _FEW:
            return
        most = min(common(t, tokens[0]) for t in tokens)
        nearest = max(self._beginnings, key=partial(_shares, tokens[0][:most]))
        prefix = _shares(tokens[0][:most], nearest)
        if (most - prefix) * (len(tokens) - 1) > 2 * self._overhead:
            layers = self._compute([tokens[0][:most]], nearest, prefix)[1]
            self._beginnings[1:] = [_Beginning(tokens[0][:most], layers)] if _finite(layers) else []

    @torch.inference_mode()
    def _rewards(self, tokens: list[list[int]], beginning: _Beginning, prefix: int) -> list[float]:
        """Rewards of token lists [B][T] that all begin with the beginning's first `prefix` tokens."""
        hidden = self._compute(tokens, beginning, prefix)[0]
        last = torch.tensor([len(t) - prefix - 1 for t in tokens], device=hidden.device)
        rewards: list[float] = self._rm.read(hidden[torch.arange(len(tokens), device=hidden.device), last]).tolist()
        return rewards

    def _compute(
        self, tokens: list[list[int]], beginning: _Beginning | None, prefix: int
    ) -> tuple[torch.Tensor, Layers]:
        """Hidden states [B, T - prefix, H] after the first `prefix` tokens, and keys and values of all T."""
        rests = [t[prefix:] for t in tokens]
        width, device = max(len(r) for r in rests), self._rm.device
        self.tokens += width * len(rests)
        ids = torch.tensor([r + [0] * (width - len(r)) for r in rests], device=device)
        lengths = torch.tensor([len(t) for t in tokens], device=device)
        places = torch.arange(prefix + width, device=device)
        cache = _shared(beginning.layers, prefix, len(rests)) if beginning and prefix else None
        output = trunk_of(self._rm.model)(
            input_ids=ids,
            attention_mask=(places[None] < lengths[:, None]).long(),
            position_ids=places[None, prefix:].expand(len(rests), -1),
            past_key_values=cache,
            use_cache=True,
        )
        return output.last_hidden_state, [(layer.keys, layer.values) for layer in output.past_key_values.layers]


def _positions(rm: "RewardModel") -> int | None:
    """Longest text; encoders reserve some of their positions, their tokenizers know how many are left."""
    longest = rm.window if rm.head is not None else int(rm.tokenizer.model_max_length)
    return longest if longest and longest < 1_000_000 else None


def _shared(layers: Layers, prefix: int, rows: int) -> DynamicCache:
    cache = DynamicCache()
    for index, layer in enumerate(layers):
        keys, values = (x[:, :, :prefix].expand(rows, -1, -1, -1) for x in layer)
        cache.update(keys, values, index)
    return cache


def _finite(layers: Layers) -> bool:
    """Not finite anywhere is not finite in the last layer; on CPU, masked attention spreads a NaN to tokens before."""
    return all(bool(torch.isfinite(x).all()) for x in layers[-1])


def _shares(tokens: Sequence[int], beginning: _Beginning) -> int:
    """Tokens of a beginning that these begin with, all of them at most."""
    return common([*tokens, -1], beginning.tokens)
