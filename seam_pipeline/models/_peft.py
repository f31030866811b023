"""Plain PEFT adapter folders of other projects."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel

from ..errors import SeamError
from ._compat import quiet
from ._files import ADAPTER_CONFIG, STACK, adapter_base, local, read_json
from ._load import explained, frozen, load_causal, load_classifier, load_tokenizer, mergeable, read_adapter


def is_adapter(path: str | Path) -> bool:
    """Whether this is a PEFT adapter folder on its own."""
    folder = local(path)
    return folder is not None and (folder / ADAPTER_CONFIG).is_file() and not (folder / STACK).is_file()


def refuse_reward_adapter(folder: Path) -> None:
    """Raise SeamError for an adapter that was trained as a classifier: as a policy it would write what nobody meant."""
    if read_json(folder / ADAPTER_CONFIG).get("task_type") == "SEQ_CLS":
        raise SeamError(f"Adapter {folder} is of a sequence classifier (task_type SEQ_CLS); give a policy's.")


def open_adapter(
    folder: Path, device: torch.device, dtype: str | torch.dtype | None, *, classifier: bool
) -> tuple[Any, Any]:
    """(model, tokenizer) of an adapter on the base that it names; merged in memory when float32.

    Raises SeamError when the base is unknown, doesn't fit, a reward adapter brings no head, or a policy's is one.
    """
    config, state = read_adapter(folder)
    base = adapter_base(folder, config.base_model_name_or_path)
    if not classifier:
        refuse_reward_adapter(folder)
    if classifier and not any(".score." in key or ".classifier." in key for key in state):
        raise SeamError(f"Adapter {folder} brings no reward head (modules_to_save: score); save it with its head.")
    model = load_classifier(base, device, dtype, headless=True) if classifier else load_causal(base, device, dtype)
    with explained("adapter", folder), quiet():
        wrapped: Any = PeftModel.from_pretrained(model, str(folder), config=config)
    if isinstance(config, LoraConfig) and mergeable(model):
        wrapped = wrapped.merge_and_unload()
    own = (folder / "tokenizer_config.json").is_file()
    source = (folder, None) if own else (base.path, base.revision)
    tokenizer = load_tokenizer(*source, needs_end=not classifier)
    return frozen(wrapped, device), tokenizer
