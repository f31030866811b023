"""Summed log-probabilities of token sequences: projection where a token is scored, one transfer per batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import SeamError
from ..models._compat import plain, project
from ._engine import HALF_TOLERANCE, TOLERANCE, Engine, evaluating, hidden_states, padded, relative_error
from ._tree import Ids

LOGITS = 1 << 24
"""Logits held at a time."""


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
    with evaluating(engine.model):
        _refuse_other_heads(engine)
        for members, batch in engine.batches([[s.tokens[:-1] for s in group] for group in groups]):
            scored = [groups[g][place] for g, place in members]
            spots = np.concatenate([at[s.context - 1 :] for s, at in zip(scored, batch.spots, strict=True)])
            targets = np.concatenate([s.tokens[s.context :] for s in scored])
            values = _token_logprobs(engine.model, hidden_states(engine.model, batch), spots, targets)
            ends = np.cumsum([len(s.tokens) - s.context for s in scored])
            for (g, place), part in zip(members, np.split(values, ends[:-1]), strict=True):
                sums[g][place] = part.sum()
            done += len(members)
            finished(done / total)
    return sums


def _token_logprobs(model: Any, states: torch.Tensor, spots: Ids, targets: Ids) -> NDArray[np.float64]:
    """log P of each target at its spot [m]; spots shared by several targets are projected once."""
    unique, row = np.unique(spots, return_inverse=True)
    order = np.argsort(row, kind="stable")
    states = states[torch.from_numpy(unique).to(states.device)]
    rows = torch.from_numpy(row[order]).to(states.device)
    wanted = torch.from_numpy(targets[order]).to(states.device)
    inner: Any = plain(model)
    step = max(1, LOGITS // int(inner.get_output_embeddings().weight.shape[0]))
    parts = []
    for start in range(0, len(unique), step):
        a, b = np.searchsorted(row[order], [start, start + step])
        logits = project(model, states[start : start + step]).float()
        here = rows[a:b] - start
        parts.append(logits[here, wanted[a:b]] - logits.logsumexp(-1)[here])
    values = np.empty(len(spots))
    values[order] = torch.cat(parts).cpu().numpy()
    return values


def _refuse_other_heads(engine: Engine) -> None:
    """Raise SeamError when the model makes its logits in a way that `project` doesn't know."""
    batch = padded([np.arange(6)], engine.device)
    whole = engine.model(input_ids=batch.ids, use_cache=False).logits.flatten(0, 1)
    ours = project(engine.model, hidden_states(engine.model, batch))
    if whole.shape != ours.shape or relative_error(ours, whole) > TOLERANCE.get(whole.dtype, HALF_TOLERANCE):
        name = type(plain(engine.model)).__name__
        raise SeamError(f"{name} does more to its hidden states than a linear head; score another policy.")
