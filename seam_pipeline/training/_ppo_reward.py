"""The reward of sampled responses: on the policy's own base where the reward model shares it, else loaded beside."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..models.stack import AdapterStack, RewardModel, StackFile, load_reward, read_head
from ._divided import in_step
from ._ppo_prompts import length_groups
from ._ppo_views import Views

Scorer = Callable[[Sequence[str], Sequence[str]], Tensor]
"""(instructions, responses) to rewards [B], float32, on the CPU."""


def shares_base(reward: StackFile, policy: StackFile) -> bool:
    """Whether a reward stack stands on the same base weights as the policy."""
    one, other = reward.base, policy.base
    if reward.kind != "reward" or (one.revision, one.dtype) != (other.revision, other.dtype):
        return False
    return one.path == other.path or _same_folder(one.path, other.path)


def load_adapters(stack: AdapterStack, reward: StackFile) -> list[str]:
    """Add the reward model's adapters, frozen and inactive, under names of their own."""
    names = []
    for name, folder in reward.adapters:
        stack.load_adapter(f"reward_{name}", folder)
        names.append(f"reward_{name}")
    return names


def shared_scorer(views: Views, names: Sequence[str], reward: StackFile, most_rows: int) -> Scorer:
    """Scores with the reward adapters `names` on the shared base. Raises SeamError when the head is damaged."""
    stack, head = views.stack, reward.head
    assert head is not None, "only reward stacks are shared"
    weight = read_head(head, stack.model.config.get_text_config().hidden_size).to(stack.device)
    view = views.view(names)
    reader = RewardModel(stack.model, stack.tokenizer, reward.append_eos, stack.device)

    @torch.no_grad()
    def score(instructions: Sequence[str], responses: Sequence[str]) -> Tensor:
        ids = reader.encode(list(zip(instructions, responses, strict=True)))
        rewards = torch.zeros(len(ids))
        with views.entered(view):
            for rows, _ in in_step(length_groups([len(row) for row in ids], most_rows)):
                batch = pad_sequence([torch.tensor(ids[row]) for row in rows], batch_first=True).to(stack.device)
                last = torch.tensor([len(ids[row]) - 1 for row in rows], device=stack.device)
                hidden = views.states(view, batch, torch.arange(len(rows), device=stack.device), last)
                rewards[rows] = (hidden.float() @ weight[0]).cpu()
        return rewards

    return score


def separate_scorer(folder: str | Path, device: torch.device, dtype: str | None = None) -> Scorer:
    """Scores with a reward model that is loaded beside the policy: any that `load_reward` opens."""
    model = load_reward(folder, device, dtype)

    def score(instructions: Sequence[str], responses: Sequence[str]) -> Tensor:
        return torch.tensor(model.rewards(model.encode(list(zip(instructions, responses, strict=True)))))

    return score


def _same_folder(one: str, other: str) -> bool:
    return Path(one).is_dir() and Path(other).is_dir() and Path(one).resolve() == Path(other).resolve()
