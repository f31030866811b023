"""What can't run is refused in one sentence before anything heavy happens."""

import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import torch

from ..candidates.llm import read_template
from ..errors import SeamError
from ..llm.key import find_key
from ..models._files import ADAPTER_CONFIG, STACK, Base, adapter_base, local, read_json, read_stack
from ..models._load import configuration, precision, refuse_no_policy, refuse_no_reward
from ..models._peft import is_adapter, refuse_reward_adapter
from ._prompts import Prompts
from .settings import AuditSettings


def refuse_variants(prompts: Prompts, settings: AuditSettings) -> None:
    """Raise SeamError for a variant that lacks its packages, its endpoint, its key or its worse responses."""
    needs_vectors = "contrast" in settings.variants or prompts.topics is None
    if needs_vectors:
        what = "The contrast variant" if "contrast" in settings.variants else "Finding topics (no --topic-column)"
        _need("sentence_transformers", "sentence-transformers", what)
    if "contrast" in settings.variants:
        _need("faiss", "faiss-cpu", "The contrast variant")
    if "adversarial" in settings.variants:
        if prompts.table["worse_response"].null_count == prompts.table.num_rows:
            raise SeamError(
                f"{prompts.path}: the adversarial variant changes worse responses, and there is none; "
                "add a column worse_response or leave the variant out."
            )
        _need("textattack", "--no-deps textattack==0.3.11", "The adversarial variant")
    if "llm" in settings.variants:
        if settings.llm is None or settings.llm.endpoint is None:
            raise SeamError("The llm variant needs --llm-model (and --llm-url for a server other than OpenAI's).")
        _need("openai", "openai", "The llm variant")
        find_key(settings.llm.endpoint)
        read_template(settings.llm)


def _need(module: str, package: str, what: str) -> None:
    if find_spec(module) is None:
        raise SeamError(f"{what} needs `pip install {package}`.")


def refuse_models(policy: str, reward: str, load_in: str | None = None) -> None:
    """Raise SeamError for a precision that can't be had, a folder that is cut short, or a model of the wrong kind.

    Reads configurations and headers, no weights.
    """
    precision(load_in, torch.device("cpu"))
    for path, kind in ((policy, "policy"), (reward, "reward")):
        folder = local(path)
        if folder is not None and is_adapter(folder):
            if kind == "policy":
                refuse_reward_adapter(folder)
            base = adapter_base(folder, read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path"))
            _refuse_cut(folder)
        else:
            base = _checked_stack(path, kind)
        configuration("model", base)
        if (place := local(base.path)) is not None:
            _refuse_cut(place)


def _checked_stack(path: str, kind: str) -> Base:
    stack = read_stack(path)
    if stack.folder is None or not (stack.folder / STACK).is_file():
        (refuse_no_reward if kind == "reward" else refuse_no_policy)(stack.base)
        return stack.base
    if stack.kind != kind:
        raise SeamError(f"{path} is a {stack.kind} model; give a {kind} model with --{kind}.")
    for _, adapter in stack.adapters:
        _refuse_cut(adapter)
    return stack.base


def _refuse_cut(folder: Path) -> None:
    """Compare each safetensors file's size with what its own header promises."""
    files = (*sorted(folder.glob("*.safetensors")), *_shards(folder))
    if not files:
        raise SeamError(f"{folder} holds no weights in safetensors files, the only ones read; copy the model again.")
    for file in files:
        if not file.is_file():
            raise SeamError(f"{file} is missing, though the folder's index names it; copy the model again.")
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = stream.read(length) if length < 100_000_000 else b""
        try:
            ends = [part["data_offsets"][1] for name, part in json.loads(header).items() if name != "__metadata__"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SeamError(f"{file} is cut short or damaged; copy the model again.") from error
        if file.stat().st_size < 8 + length + max(ends, default=0):
            raise SeamError(f"{file} is cut short or damaged; copy the model again.")


def _shards(folder: Path) -> Iterator[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = read_json(index).get("weight_map", {})
        yield from (folder / name for name in sorted(set(names.values())) if not (folder / name).is_file())
