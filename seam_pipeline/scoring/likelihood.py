"""log P(response | instruction) under a policy, for all responses of an instruction at once."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from ..experiment import Scoring
from ..models.stack import Policy
from ..progress import Progress, silent
from ..tables import LIKELIHOODS
from ._engine import Engine, Layout
from ._limits import Limits
from ._logprobs import Scored, log_likelihoods
from ._tokens import cut_left, n_leading
from ._tree import Ids
from .items import Item, windows
from .reuse import Reuse


def score_likelihoods(
    policy: Policy,
    rows: Iterable[Item],
    settings: Scoring,
    progress: Progress = silent,
    *,
    layout: Layout = "auto",
    reuse: Reuse | None = None,
) -> pa.Table:
    """LIKELIHOODS, one row per response in the order of the items; `progress` counts items.

    The context is `Question: {instruction}\\n\\nAnswer:` with the tokenizer's own special tokens; scored are the tokens
    of ` {response}` and the end token (SPEC.md, section 6). Longer responses than `max_response_tokens` are cut and
    lose the end token (`truncated`); longer prompts than `max_prompt_tokens`, or than the model's positions allow
    beside the response, are cut from the left behind their leading special tokens (`prompt_cut`).
    Equal to scoring one response at a time up to rounding, whatever shares the batch (see `_engine.Engine` for the
    layouts); responses that `reuse` knows are not computed again. Null with a reason: an empty response, one that
    fills the model's positions, a non-finite result.
    """
    items = rows if isinstance(rows, Sequence) else list(rows)
    engine = Engine(policy.model, policy.device, layout, settings.tokens_per_batch)
    columns: dict[str, list[Any]] = {name: [] for name in LIKELIHOODS.names}
    for window, finished in windows(items, progress):
        found = _tokenised(policy, window, settings, engine.limits)
        _score(engine, found, finished, reuse)
        for item, responses in zip(window, found, strict=True):
            for index, response in zip(item.indices, responses, strict=True):
                for name, value in zip(columns, (item.id, index, *response.row()), strict=True):
                    columns[name].append(value)
    return pa.table(columns, schema=LIKELIHOODS)


@dataclass
class _Response:
    """One response on its way to a row of LIKELIHOODS; not scored when it has a reason."""

    scored: Scored | None = None
    prompt_cut: int = 0
    truncated: bool = False
    reason: str | None = None
    loglik: float | None = None

    def row(self) -> tuple[Any, ...]:
        """The columns after id and index."""
        tokens = len(self.scored.tokens) - self.scored.context if self.scored is not None else None
        return self.loglik, tokens, self.prompt_cut, self.truncated, self.reason


def _tokenised(policy: Policy, items: Sequence[Item], settings: Scoring, limits: Limits) -> list[list[_Response]]:
    prompts = policy.prompt_ids([item.instruction for item in items])
    responses = iter(policy.response_ids([text for item in items for text in item.responses]))
    special = frozenset(policy.tokenizer.all_special_ids)
    cut = partial(_response, settings=settings, positions=limits.positions, special=special)
    return [
        [cut(text, prompt, next(responses)) for text in item.responses]
        for item, prompt in zip(items, prompts, strict=True)
    ]


def _response(
    text: str, prompt: list[int], ids: list[int], settings: Scoring, positions: int | None, special: frozenset[int]
) -> _Response:
    if not text.strip():
        return _Response(reason="empty response")
    longest = settings.max_response_tokens
    truncated = longest is not None and len(ids) - 1 > longest
    ids = ids[:longest] if truncated else ids
    room = settings.max_prompt_tokens
    if positions is not None:
        room = min(room or positions, positions - len(ids))
        if room <= n_leading(prompt, special):
            return _Response(truncated=truncated, reason=f"{len(ids)} tokens fill the model's {positions} positions")
    prompt, cut = cut_left(prompt, room, special)
    return _Response(Scored(np.array([*prompt, *ids], np.int64), len(prompt)), cut, truncated)


def _score(
    engine: Engine, found: Sequence[Sequence[_Response]], finished: Callable[[float], None], reuse: Reuse | None
) -> None:
    """Fill in `loglik`, or the reason why there is none."""
    groups = [[response for response in responses if response.scored is not None] for responses in found]
    scored = [[response.scored for response in group if response.scored is not None] for group in groups]
    compute = partial(log_likelihoods, engine, finished=finished)
    sums = reuse.values("loglik 2", scored, _tokens_of, compute) if reuse else compute(scored)
    for group, values in zip(groups, sums, strict=True):
        for response, value in zip(group, values.tolist(), strict=True):
            if math.isfinite(value):
                response.loglik = value
            else:
                response.reason = f"the log-likelihood is {value}"


def _tokens_of(scored: Scored) -> tuple[Ids, int]:
    return scored.tokens, scored.context
