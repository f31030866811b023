"""The perplexity baseline (paper, section 6.1): what the base model makes of each RL instruction."""

import math

import numpy as np
import pyarrow as pa

from ..experiment import Scoring
from ..models.stack import Policy
from ..progress import Progress, silent
from ._engine import Engine, Layout
from ._logprobs import Scored, log_likelihoods
from ._tokens import cut_left
from .items import Item, windows

PERPLEXITIES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("perplexity", pa.float64()),
        pa.field("n_tokens", pa.int32()),
        pa.field("cut", pa.int32(), nullable=False),
        pa.field("reason", pa.string()),
    ]
)
"""One row per instruction; `n_tokens` were scored, `cut` were cut off on the left."""


def perplexities(
    base: Policy, rl: pa.Table, settings: Scoring, progress: Progress = silent, *, layout: Layout = "auto"
) -> pa.Table:
    """PERPLEXITIES of the RL rows (id, instruction), in their order; high = unlikely text = dropped by the baseline.

    exp(-mean log P) over the instruction's own tokens after the first, with the tokenizer's special tokens.
    Decision: the paper says only that the RL data's perplexity is taken; PPO never shows the policy the golden
    response, so the text is the instruction, without template words that would be the same for all. Long texts
    lose tokens on the left as prompts do (`max_prompt_tokens`, the model's positions).
    Null with a reason: fewer than two tokens, a non-finite result.
    """
    items = [
        Item(id_, text, (), ()) for id_, text in zip(rl["id"].to_pylist(), rl["instruction"].to_pylist(), strict=True)
    ]
    engine = Engine(base.model, base.device, layout, settings.tokens_per_batch)
    rows: list[tuple[float | None, int | None, int, str | None]] = []
    for window, finished in windows(items, progress):
        cuts = [_tokens(base, item.instruction, settings, engine.limits.positions) for item in window]
        groups = [[Scored(ids, 1)] if len(ids) > 1 else [] for ids, _ in cuts]
        for (ids, cut), found in zip(cuts, log_likelihoods(engine, groups, finished), strict=True):
            rows.append(_row(len(ids) - 1, cut, found.tolist()))
    columns = [[row[place] for row in rows] for place in range(4)]
    return pa.table([[item.id for item in items], *columns], schema=PERPLEXITIES)


def _tokens(base: Policy, text: str, settings: Scoring, positions: int | None) -> tuple[np.ndarray, int]:
    ids: list[int] = base.tokenizer(text, add_special_tokens=True, verbose=False)["input_ids"]
    if len(ids) > 1 and ids[-1] == base.eos_id:
        ids = ids[:-1]
    longest = min(settings.max_prompt_tokens or math.inf, positions or math.inf)
    special = frozenset(base.tokenizer.all_special_ids)
    ids, cut = cut_left(ids, None if longest == math.inf else int(longest), special)
    return np.array(ids, np.int64), cut


def _row(n_tokens: int, cut: int, found: list[float]) -> tuple[float | None, int | None, int, str | None]:
    if not found:
        return None, None, cut, "fewer than two tokens"
    mean = -found[0] / n_tokens
    if not math.isfinite(mean) or mean > math.log(np.finfo(np.float64).max):
        return None, n_tokens, cut, f"the mean log-likelihood is {-mean}"
    return math.exp(mean), n_tokens, cut, None
