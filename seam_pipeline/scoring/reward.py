"""R(instruction, response) under a reward model, for all responses of an instruction at once."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from ..experiment import Scoring
from ..models._compat import plain
from ..models._tiles import fill
from ..models._tokens import prompt_ids
from ..models.stack import RewardModel
from ..progress import Progress, silent
from ..tables import REWARDS
from ._engine import Engine, Layout, evaluating, hidden_states
from ._limits import limits_of
from ._tokens import cut_left, n_leading
from ._tree import Ids
from .items import Item, windows
from .reuse import Reuse

Finished = Callable[[float], None]
"""Called with the share of a window that is done."""


def score_rewards(
    rm: RewardModel,
    rows: Iterable[Item],
    settings: Scoring,
    progress: Progress = silent,
    *,
    layout: Layout = "auto",
    reuse: Reuse | None = None,
) -> pa.Table:
    """REWARDS, one row per response in the order of the items; `progress` counts items.

    The model reads `Question: {instruction}\\n\\nAnswer: {response}` tokenised as one string, whole (response
    truncation is the policy's business), and the end token if it was trained with one; the reward is its head at the
    last token. Texts share the tokens that they begin with, wherever these end. A text longer than the model's
    positions loses tokens of its prompt on the left, which `reason` records beside the reward.
    Null with a reason: an empty response, one that fills the positions, a non-finite reward. A response equal to
    the golden one is scored like any other and gets exactly its reward, so its misjudgement is 0.
    Encoders pool in their own way: they are always scored padded. Texts that `reuse` knows are not read again.
    """
    items = rows if isinstance(rows, Sequence) else list(rows)
    read = _reader(rm, settings.tokens_per_batch, layout)
    columns: dict[str, list[Any]] = {name: [] for name in REWARDS.names}
    for window, finished in windows(items, progress):
        found = _tokenised(rm, window)
        _score(partial(read, finished=finished), found, reuse)
        for item, texts in zip(window, found, strict=True):
            for index, text in zip(item.indices, texts, strict=True):
                for name, value in zip(columns, (item.id, index, text.reward, text.reason), strict=True):
                    columns[name].append(value)
    return pa.table(columns, schema=REWARDS)


@dataclass
class _Text:
    """One text on its way to a row of REWARDS; not scored when it has no ids."""

    ids: Ids | None
    reason: str | None = None
    reward: float | None = None


def _tokenised(rm: RewardModel, items: Sequence[Item]) -> list[list[_Text]]:
    prompts = prompt_ids(rm.tokenizer, [item.instruction for item in items])
    encoded = iter(rm.encode([(item.instruction, text) for item in items for text in item.responses]))
    cut = partial(_text, positions=_positions(rm), special=frozenset(rm.tokenizer.all_special_ids))
    return [
        [cut(text, len(prompt), next(encoded)) for text in item.responses]
        for item, prompt in zip(items, prompts, strict=True)
    ]


def _text(response: str, prompt: int, ids: list[int], positions: int | None, special: frozenset[int]) -> _Text:
    if not response.strip():
        return _Text(None, "empty response")
    kept, cut = cut_left(ids, positions, special)
    if cut and cut > prompt - n_leading(ids, special) - 1:
        return _Text(None, f"the response fills the model's {positions} positions")
    return _Text(np.array(kept, np.int64), f"{cut} prompt tokens cut from the left" if cut else None)


def _positions(rm: RewardModel) -> int | None:
    if rm.head is not None:
        return limits_of(plain(rm.model).config).positions
    # Encoders reserve some of their positions; their tokenizers know how many are left.
    longest = int(rm.tokenizer.model_max_length)
    return longest if longest < 1_000_000 else None


Reader = Callable[..., list[NDArray[np.float64]]]
"""(groups of token sequences, finished) to one reward each."""


def _score(read: Reader, found: Sequence[Sequence[_Text]], reuse: Reuse | None) -> None:
    """Fill in `reward`, or the reason why there is none; equal texts of an instruction are read once."""
    distinct = [{text.ids.tobytes(): text.ids for text in texts if text.ids is not None} for texts in found]
    groups = [list(ids.values()) for ids in distinct]
    values = reuse.values("reward 2", groups, lambda ids: (ids, 0), read) if reuse else read(groups)
    for texts, ids, rewards in zip(found, distinct, values, strict=True):
        known = dict(zip(ids, rewards.tolist(), strict=True))
        for text in texts:
            if text.ids is not None:
                _settle(text, known[text.ids.tobytes()])


def _settle(text: _Text, value: float) -> None:
    if math.isfinite(value):
        text.reward = value
    else:
        text.reason = f"the reward is {value}"


def _reader(rm: RewardModel, tokens_per_batch: int, layout: Layout) -> Reader:
    if rm.head is None:
        return partial(_whole_texts, rm, tokens_per_batch)
    return partial(_last_tokens, rm, Engine(rm.model, rm.device, layout, tokens_per_batch))


def _last_tokens(
    rm: RewardModel, engine: Engine, groups: Sequence[Sequence[Ids]], finished: Finished
) -> list[NDArray[np.float64]]:
    values, done, total = [np.zeros(len(group)) for group in groups], 0, sum(map(len, groups))
    with evaluating(engine.model):
        for members, batch in engine.batches(groups, [[len(ids) - 1 for ids in group] for group in groups]):
            last = torch.from_numpy(np.array([spots[-1] for spots in batch.spots])).to(engine.device)
            rewards = rm.read(fill(hidden_states(engine.model, batch)[last]))[: len(last)].cpu().numpy()
            for (g, place), value in zip(members, rewards, strict=True):
                values[g][place] = value
            done += len(members)
            finished(done / total)
    return values


def _whole_texts(
    rm: RewardModel, tokens_per_batch: int, groups: Sequence[Sequence[Ids]], finished: Finished
) -> list[NDArray[np.float64]]:
    flat = [ids.tolist() for group in groups for ids in group]
    values = np.array(rm.rewards(flat, tokens_per_batch, lambda done, total: finished(done / total)), np.float64)
    ends = np.cumsum([len(group) for group in groups])
    return np.split(values, ends[:-1])
