"""Summed log-probabilities of token sequences: projection where a token is scored, one transfer per batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import SeamError
from ..models._compat import plain, project
from ..models._tiles import fill, whole
from ._batches import Member
from ._engine import Batch, Engine, evaluating, hidden_states
from ._forward import padded
from ._probe import relative_error, tolerance
from ._tree import Ids

LOGITS = {"cpu": 1 << 22, "cuda": 1 << 26}
"""Logits held at a time, by type of device."""


@dataclass(frozen=True)
class Scored:
    """Token ids, of which the first `context` (at least one) are given and the rest is scored."""

    tokens: Ids
    context: int


def log_likelihoods(
    engine: Engine, groups: Sequence[Sequence[Scored]], finished: Callable[[float], None]
) -> list[NDArray[np.float64]]:
    """Per group, the sum of log P (nats) over each sequence's scored tokens; may hold non-finite numbers.

    Float32 log-softmax, summed in float64. The last token is a target only and never an input.
    `finished` is called with the share of the sequences that is done.
    """
    sums, done, total = [np.zeros(len(group)) for group in groups], 0, sum(map(len, groups))
    inputs = [[s.tokens[:-1] for s in group] for group in groups]
    first = [[s.context - 1 for s in group] for group in groups]
    with evaluating(engine.model):
        _refuse_other_heads(engine)
        for members, pending in _one_late(_running(engine, groups, engine.batches(inputs, first))):
            for (g, place), value in zip(members, pending.sums(), strict=True):
                sums[g][place] = value
            done += len(members)
            finished(done / total)
    return sums


@dataclass(frozen=True)
class _Pending:
    """log P [m] on the device, still being computed there perhaps; `order` [m] are their places among the scored
    tokens of the batch, of which sequence i's end before ends[i]."""

    values: torch.Tensor
    order: Ids
    ends: Ids

    def sums(self) -> Iterator[float]:
        """One a sequence; waits for the device."""
        values = np.empty(len(self.order))
        values[self.order] = self.values.cpu().numpy()
        for part in np.split(values, self.ends[:-1]):
            yield float(part.sum())


Running = Iterator[tuple[list[Member], _Pending]]


def _running(
    engine: Engine, groups: Sequence[Sequence[Scored]], batches: Iterator[tuple[list[Member], Batch]]
) -> Running:
    for members, batch in batches:
        scored = [groups[g][place] for g, place in members]
        spots = np.concatenate([at[s.context - 1 :] for s, at in zip(scored, batch.spots, strict=True)])
        targets = np.concatenate([s.tokens[s.context :] for s in scored])
        values, order = _token_logprobs(engine.model, hidden_states(engine.model, batch), spots, targets)
        yield members, _Pending(values, order, np.cumsum([len(s.tokens) - s.context for s in scored]))


def _one_late(running: Running) -> Running:
    """The same, each when the next is under way: the next tree grows while a GPU computes."""
    before = None
    for current in running:
        if before is not None:
            yield before
        before = current
    if before is not None:
        yield before


def _token_logprobs(model: Any, states: torch.Tensor, spots: Ids, targets: Ids) -> tuple[torch.Tensor, Ids]:
    """log P of each target at its spot, and the order they are in; shared spots are projected once, in parts."""
    unique, row = np.unique(spots, return_inverse=True)
    order = np.argsort(row, kind="stable")
    states = fill(states[torch.from_numpy(unique).to(states.device)])
    rows = torch.from_numpy(row[order]).to(states.device)
    wanted = torch.from_numpy(targets[order]).to(states.device)
    inner: Any = plain(model)
    held = LOGITS.get(states.device.type, LOGITS["cpu"])
    step = whole(max(1, held // int(inner.get_output_embeddings().weight.shape[0])))
    parts = []
    for start in range(0, len(unique), step):
        a, b = np.searchsorted(row[order], [start, start + step])
        logits = project(model, states[start : start + step]).float()
        here = rows[a:b] - start
        parts.append(logits[here, wanted[a:b]] - logits.logsumexp(-1)[here])
    return torch.cat(parts), order


def _refuse_other_heads(engine: Engine) -> None:
    """Raise SeamError when the model makes its logits in a way that `project` doesn't know."""
    batch = padded([np.arange(6)], engine.device)
    whole = engine.model(input_ids=batch.ids, use_cache=False).logits.flatten(0, 1)
    ours = project(engine.model, hidden_states(engine.model, batch))
    if whole.shape != ours.shape or relative_error(ours, whole) > tolerance(whole.dtype):
        name = type(plain(engine.model)).__name__
        raise SeamError(f"{name} does more to its hidden states than a linear head; score another policy.")
