"""A scalar reward model with its tokenizer and head."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ..errors import SeamError
from ..progress import Progress, silent
from ._compat import plain, trunk_of, window_of
from ._files import local, read_json
from ._load import explained
from ._tokens import reward_ids

HEAD_KEY = "score.weight"
NOTE = "seam_reward.json"


def pool_last(values: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """[B, T, ...] and mask [B, T] (1 is a token) to [B, ...]: the value at each row's last real token.

    The mask decides, not a comparison with the pad id, so an end token that doubles as padding is found.
    """
    places = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    last = (attention_mask.long() * places).argmax(dim=1)
    return values[torch.arange(values.shape[0], device=values.device), last]


@dataclass
class RewardModel:
    """A classifier with one label; the reward is its logit, a higher one is a better response."""

    model: Any
    tokenizer: Any
    append_eos: bool = False
    device: torch.device | str = "cpu"

    def __post_init__(self) -> None:
        self.device = torch.device(self.device)

    @property
    def window(self) -> int | None:
        """Longest text in tokens, if the model states one."""
        return window_of(self.model)

    @property
    def head(self) -> torch.nn.Module | None:
        """The linear head of a decoder, read at the last token; None for encoders, which pool in their own way."""
        return getattr(plain(self.model), "score", None)

    def hidden(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Last hidden states [B, T, H] of the trunk."""
        places = {} if position_ids is None else {"position_ids": position_ids}
        output = trunk_of(self.model)(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **places)
        states: torch.Tensor = output.last_hidden_state
        return states

    def read(self, hidden: torch.Tensor) -> torch.Tensor:
        """Hidden states [..., H] to rewards [...], float32 (decoders only)."""
        if self.head is None:
            raise SeamError("This reward model is an encoder; its reward is read from whole texts only.")
        weight = next(self.head.parameters())
        rewards: torch.Tensor = self.head(hidden.to(weight.dtype)).float().squeeze(-1)
        return rewards

    def score(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Rewards [B], float32, of token ids [B, T]; padding (mask 0) may be on either side."""
        if self.head is None:
            logits = self.model(input_ids=input_ids, attention_mask=attention_mask).logits
            return logits.float().squeeze(-1)
        if position_ids is None and bool((attention_mask[:, 0] == 0).any()):
            position_ids = (attention_mask.long().cumsum(1) - 1).clamp(min=0)
        return self.read(pool_last(self.hidden(input_ids, attention_mask, position_ids), attention_mask))

    def encode(self, pairs: Sequence[tuple[str, str]], max_length: int | None = None) -> list[list[int]]:
        """Token ids of (instruction, response) texts, as the model was trained to read them."""
        return reward_ids(self.tokenizer, pairs, self.append_eos, max_length)

    def token_ids(self, instruction: str, response: str) -> list[int]:
        """Token ids of one text."""
        return self.encode([(instruction, response)])[0]

    @torch.no_grad()
    def rewards(
        self, ids: Sequence[Sequence[int]], tokens_per_batch: int = 8192, progress: Progress = silent
    ) -> list[float]:
        """Rewards of token lists, in their order; sorted by length inside, `tokens_per_batch` changes speed only."""
        order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
        scores = [0.0] * len(ids)
        start = 0
        while start < len(order):
            size = max(1, tokens_per_batch // max(1, len(ids[order[start]])))
            rows = order[start : start + size]
            batch, mask = pad_right([ids[i] for i in rows], int(self.tokenizer.pad_token_id), self.device)
            for row, value in zip(rows, self.score(batch, mask).tolist(), strict=True):
                scores[row] = value
            start += size
            progress(min(start, len(order)), len(order))
        return scores


def pad_right(
    rows: Sequence[Sequence[int]], pad: int, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Token lists to ids and mask, both [B, T] int64; mask 1 is a token."""
    width = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
    return ids, mask


def reads_eos(path: str | Path) -> bool:
    """Whether `seam_reward.json` beside a foreign reward model says that an end token follows the text."""
    folder = local(path)
    if folder is None or not (folder / NOTE).is_file():
        return False
    return bool(read_json(folder / NOTE).get("append_eos", False))


def read_head(file: str | Path, hidden_size: int | None = None) -> torch.Tensor:
    """The reward head [1, H], float32. Raises SeamError when damaged or of another width."""
    if not Path(file).is_file():
        raise SeamError(f"{file} is missing; the reward model is incomplete, train it again.")
    with explained("reward head", file):
        weight = load_file(file)[HEAD_KEY].float()
    if weight.ndim != 2 or weight.shape[0] != 1 or (hidden_size is not None and weight.shape[1] != hidden_size):
        raise SeamError(
            f"{file} has shape {tuple(weight.shape)}, not (1, {hidden_size or 'H'}); it is of another base."
        )
    return weight


def write_head(file: str | Path, weight: torch.Tensor) -> None:
    """Save a reward head [1, H]."""
    save_file({HEAD_KEY: weight.detach().float().cpu().contiguous()}, file, metadata={"format": "pt"})
