"""Rewards of many changed versions of one response, sharing what their beginnings have in common."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from transformers import DynamicCache

from ..models._compat import trunk_of

if TYPE_CHECKING:
    from ..models.stack import RewardModel

_ROWS = 64


class RewardQueries:
    """R(I, .) for one instruction: cached by text, counted, computed in batches behind a shared prefix.

    The keys and values of the spine (the text that the attack starts from) are kept; a batch of texts computes only
    the tokens after what it shares with the spine; encoders and sliding windows read whole texts. Same rewards as one
    text at a time, up to rounding.
    """

    def __init__(self, rm: "RewardModel", instruction: str, spine: str) -> None:
        self._rm, self._instruction = rm, instruction
        self._known: dict[str, float] = {}
        self.count = 0
        """Texts that the reward model has read; a cached text is not read again."""
        self._spine = self._tokens([spine])[0]
        self._cache = self._prefill() if rm.head is not None else []

    def known(self, response: str) -> bool:
        """Whether this response's reward is there already."""
        return response in self._known

    def __call__(self, responses: Sequence[str]) -> list[float]:
        """One reward per response; a reward that is not finite comes back as it is."""
        new = list(dict.fromkeys(r for r in responses if r not in self._known))
        if new:
            self.count += len(new)
            self._known.update(zip(new, self._read(self._tokens(new)), strict=True))
        return [self._known[r] for r in responses]

    def _read(self, tokens: list[list[int]]) -> list[float]:
        if not self._cache:
            return self._rm.rewards(tokens)
        shared = [_common(t, self._spine) for t in tokens]
        order = sorted(range(len(tokens)), key=shared.__getitem__)
        values = [0.0] * len(tokens)
        for group in _groups(order, shared, [len(t) for t in tokens]):
            prefix = min(shared[i] for i in group)
            for i, value in zip(group, self._forward([tokens[i] for i in group], prefix), strict=True):
                values[i] = value
        return values

    def _tokens(self, responses: Sequence[str]) -> list[list[int]]:
        return self._rm.encode([(self._instruction, r) for r in responses])

    @torch.inference_mode()
    def _prefill(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of the spine per layer; none where a layer keeps only a window of it."""
        ids = torch.tensor([self._spine], device=self._rm.device)
        trunk = trunk_of(self._rm.model)
        cache = trunk(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True).past_key_values
        kept = [(layer.keys, layer.values) for layer in cache.layers]
        return kept if all(keys.shape[2] == len(self._spine) for keys, _ in kept) else []

    @torch.inference_mode()
    def _forward(self, tokens: list[list[int]], prefix: int) -> list[float]:
        """Rewards of token lists [B][T] that all begin with the spine's first `prefix` tokens."""
        rests = [t[prefix:] for t in tokens]
        width = max(len(r) for r in rests)
        device = self._rm.device
        ids = torch.tensor([r + [0] * (width - len(r)) for r in rests], device=device)
        lengths = torch.tensor([len(t) for t in tokens], device=device)
        places = torch.arange(prefix + width, device=device)
        mask = (places[None] < lengths[:, None]).long()
        hidden = trunk_of(self._rm.model)(
            input_ids=ids,
            attention_mask=mask,
            position_ids=places[None, prefix:].expand(len(rests), -1),
            past_key_values=self._shared(prefix, len(rests)),
            use_cache=prefix > 0,
        ).last_hidden_state
        last = hidden[torch.arange(len(rests), device=device), lengths - prefix - 1]
        rewards: list[float] = self._rm.read(last).tolist()
        return rewards

    def _shared(self, prefix: int, rows: int) -> DynamicCache | None:
        if not prefix:
            return None
        cache = DynamicCache()
        for index, (keys, values) in enumerate(self._cache):
            cut = [x[:, :, :prefix].expand(rows, -1, -1, -1) for x in (keys, values)]
            cache.update(cut[0], cut[1], index)
        return cache


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common beginning; at least the last token of `a` is left to compute."""
    most = min(len(a) - 1, len(b))
    for i in range(most):
        if a[i] != b[i]:
            return i
    return most


def _groups(order: list[int], shared: list[int], lengths: list[int]) -> list[list[int]]:
    """Cut texts, ordered by their shared beginning, into batches that waste little of it."""
    groups: list[list[int]] = []
    for i in order:
        first = groups[-1][0] if groups else None
        if first is None or len(groups[-1]) == _ROWS or shared[i] - shared[first] > max(8, lengths[i] - shared[i]) // 2:
            groups.append([i])
        else:
            groups[-1].append(i)
    return groups
