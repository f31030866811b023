"""Policies and reward models from any folder or hub id; the public names of this package's loading."""

from pathlib import Path

import torch

from ..errors import SeamError
from ._files import HEAD, STACK, Base, StackFile, read_base, read_stack, relink, write_stack
from ._load import as_device, load_classifier, load_tokenizer, mergeable, parameters_of
from ._peft import is_adapter, open_adapter
from ._policy import Policy
from ._reward import RewardModel, pool_last, read_head, reads_eos, write_head
from .adapters import AdapterStack

__all__ = [
    "AdapterStack",
    "Base",
    "Policy",
    "RewardModel",
    "StackFile",
    "as_device",
    "load_policy",
    "load_reward",
    "load_tokenizer",
    "parameters_of",
    "pool_last",
    "read_base",
    "read_head",
    "read_stack",
    "relink",
    "write_head",
    "write_stack",
]


def load_policy(path: str | Path, device: str | torch.device = "cpu", dtype: str | torch.dtype | None = None) -> Policy:
    """A frozen policy from a stack folder, base folder, Hugging Face folder or hub id, or PEFT adapter folder.

    `dtype` is float32, bfloat16, float16, or 4bit or 8bit (bitsandbytes); None is the checkpoint's own.
    Float32 adapters are merged in memory for speed; in lower precision they stay apart, which rounds nothing away.
    Raises SeamError when it can't be loaded whole.
    """
    where = as_device(device)
    if is_adapter(path):
        model, tokenizer = open_adapter(Path(path), where, dtype, classifier=False)
        return Policy(model, tokenizer, where)
    stack = read_stack(path)
    if stack.kind != "policy":
        raise SeamError(f"{path} is a reward model; give a policy.")
    adapters = _with_adapters(stack, where, dtype, classifier=False)
    return Policy(adapters.model, adapters.tokenizer, where)


def load_reward(
    path: str | Path, device: str | torch.device = "cpu", dtype: str | torch.dtype | None = None
) -> RewardModel:
    """A frozen reward model from a stack folder, a one-label classifier (folder or hub id), or a PEFT adapter folder.

    Whether an end token follows the text is in `stack.json`, or in `seam_reward.json` beside other models; else no.
    Raises SeamError when it can't be loaded whole or has several labels.
    """
    where = as_device(device)
    if is_adapter(path):
        model, tokenizer = open_adapter(Path(path), where, dtype, classifier=True)
        return RewardModel(model, tokenizer, reads_eos(path), where)
    stack = read_stack(path)
    if stack.folder is None or not (stack.folder / STACK).is_file():
        return _classifier(path, stack.base, where, dtype)
    if stack.kind != "reward":
        raise SeamError(f"{path} is a policy without a reward head; give a reward model.")
    adapters = _with_adapters(stack, where, dtype, classifier=True)
    adapters.model.score.float().weight.data = read_head(stack.folder / HEAD, adapters.model.score.in_features).to(
        where
    )
    return RewardModel(adapters.model, adapters.tokenizer, stack.append_eos, where)


def _classifier(path: str | Path, base: Base, device: torch.device, dtype: str | torch.dtype | None) -> RewardModel:
    end = reads_eos(path)
    model = load_classifier(base, device, dtype, headless=False)
    return RewardModel(model, load_tokenizer(base.path, base.revision, needs_end=end), end, device)


def _with_adapters(
    stack: StackFile, device: torch.device, dtype: str | torch.dtype | None, classifier: bool
) -> AdapterStack:
    adapters = AdapterStack.from_base(stack.base_path, device, dtype, classifier=classifier)
    for name, folder in stack.adapters:
        adapters.load_adapter(name, folder)
    names = [name for name, _ in stack.adapters]
    adapters.use(*names)
    if mergeable(adapters.model):
        adapters.merge(names)
    return adapters
