"""A stack of adapters as one plain Hugging Face folder, for those who serve it elsewhere."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from ..errors import SeamError
from ._compat import quiet
from ._files import STACK, StackFile, read_stack
from ._load import SAFE, as_device
from ._reward import NOTE, read_head
from .adapters import AdapterStack

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-8}
HALF_TOLERANCE = 5e-2
"""Largest difference of logits over their largest magnitude; folding adapters into half precision rounds."""


def export(path: str | Path, out: str | Path, device: str = "cpu") -> dict[str, Any]:
    """Write the merged model of a stack folder; returns what it is and how far its logits are from the stack's.

    A policy becomes a causal LM, a reward model a sequence classifier with one label and a note on its end token.
    The folder is read back and compared on probe tokens before it appears. Raises SeamError when `path` is no stack,
    `out` holds something, or the logits differ.
    """
    stack, place = _stack(path), Path(out)
    if place.exists() and (place.is_file() or any(place.iterdir())):
        raise SeamError(f"{place} is not empty; give another folder.")
    beside = place.with_name(f".{place.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        found = _write(stack, beside, as_device(device))
        if place.exists():
            place.rmdir()
        beside.rename(place)
    except OSError as error:
        raise SeamError(f"Cannot write {place} ({error.strerror or error}); free some space and run again.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return found


def _stack(path: str | Path) -> StackFile:
    stack = read_stack(path)
    if stack.folder is None or not (stack.folder / STACK).is_file():
        raise SeamError(f"{path} is no model folder of a study ({STACK} is missing); there is nothing to merge.")
    return stack


def _write(stack: StackFile, folder: Path, device: torch.device) -> dict[str, Any]:
    reward = stack.kind == "reward"
    adapters = AdapterStack.from_base(stack.base_path, device, classifier=reward)
    names = [name for name, _ in stack.adapters]
    for name, place in stack.adapters:
        adapters.load_adapter(name, place)
    adapters.use(*names)
    if reward:
        assert stack.head is not None
        weight = adapters.model.score.weight
        weight.data = read_head(stack.head, adapters.model.score.in_features).to(weight.device, weight.dtype)
    before = _logits(adapters.model)
    adapters.merge(names)
    folder.mkdir(parents=True)
    with quiet():
        adapters.model.save_pretrained(folder)
        adapters.tokenizer.save_pretrained(folder)
    if reward:
        (folder / NOTE).write_text(json.dumps({"append_eos": stack.append_eos}) + "\n", "utf-8")
    difference = _difference(folder, before, adapters.model.dtype, reward, device)
    return {"kind": stack.kind, "adapters": names, "base": stack.base_path, "largest_difference": difference}


def _difference(folder: Path, before: torch.Tensor, dtype: torch.dtype, reward: bool, device: torch.device) -> float:
    kind: Any = AutoModelForSequenceClassification if reward else AutoModelForCausalLM
    with quiet():
        again = kind.from_pretrained(folder, dtype=dtype, **SAFE).to(device).eval()
    after = _logits(again)
    difference = float((after - before).abs().max() / before.abs().max().clamp_min(1e-12))
    allowed = TOLERANCE.get(dtype, HALF_TOLERANCE)
    if not difference <= allowed:
        raise SeamError(
            f"The merged model's logits differ from the stack's by {difference:.1e} of their largest (allowed "
            f"{allowed:.0e}); nothing was written. Export from a float32 base."
        )
    return difference


@torch.inference_mode()
def _logits(model: Any) -> torch.Tensor:
    """Logits, float32, of three fixed texts of random tokens, one by one: no padding is involved."""
    size = int(model.get_input_embeddings().weight.shape[0])
    generator = torch.Generator().manual_seed(0)
    texts = [torch.randint(size, (1, length), generator=generator) for length in (5, 17, 48)]
    rows = [model(input_ids=ids.to(model.device)).logits.float().flatten() for ids in texts]
    return torch.cat(rows)
