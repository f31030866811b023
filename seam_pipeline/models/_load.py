"""Opening tokenizers, models and adapters; every failure becomes one sentence."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, try_to_load_from_cache
from peft import PeftConfig
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from ..errors import SeamError
from ._compat import quiet, tokenizer_class
from ._files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Base, local, read_base, read_json

SAFE = {"trust_remote_code": False, "use_safetensors": True}
"""Neither code nor pickles of a checkpoint are run."""
HUB_SECONDS = 10
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
QUANTISED = ("4bit", "8bit")
KEPT = ["lm_head", "score", "classifier"]
"""Heads stay in full precision when a model is loaded in 4 or 8 bit."""


def as_device(device: str | torch.device) -> torch.device:
    """A torch device; `auto` is the first GPU or else the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def as_dtype(dtype: str | torch.dtype | None) -> torch.dtype | str:
    """A torch dtype; None is the checkpoint's own."""
    if dtype is None:
        return "auto"
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in DTYPES:
        raise SeamError(f"dtype {dtype!r} is none of {', '.join((*DTYPES, *QUANTISED))}.")
    return DTYPES[dtype]


def precision(dtype: str | torch.dtype | None, device: torch.device) -> dict[str, Any]:
    """Arguments of `from_pretrained` for a dtype, or for `4bit` (NF4) and `8bit` (LLM.int8) through bitsandbytes.

    Raises SeamError when bitsandbytes is not installed.
    """
    if dtype not in QUANTISED:
        return {"dtype": as_dtype(dtype)}
    if find_spec("bitsandbytes") is None:
        raise SeamError(f"Loading in {dtype} needs bitsandbytes; pip install bitsandbytes, or leave --load-in away.")
    from transformers import BitsAndBytesConfig

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    four = dtype == "4bit"
    compute = torch.float32 if device.type != "cuda" else torch.bfloat16 if four else torch.float16
    settings: dict[str, Any] = {"load_in_8bit": True}
    if four:
        settings = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": compute}
    config = BitsAndBytesConfig(**settings, llm_int8_skip_modules=KEPT)
    return {"dtype": compute, "quantization_config": config, "device_map": {"": device}}


def mergeable(model: Any) -> bool:
    """Whether adding adapters into the weights rounds nothing away."""
    return next(model.parameters()).dtype == torch.float32 and not getattr(model, "is_quantized", False)


@contextmanager
def explained(what: str, path: str | Path) -> Iterator[None]:
    """Turn the libraries' loading errors into one sentence."""
    try:
        with quiet():
            if not Path(path).exists():
                _on_hub(str(path))
            yield
    except torch.OutOfMemoryError:
        raise
    except (SafetensorError, OSError, ValueError, RuntimeError, KeyError) as error:
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        if isinstance(error, SafetensorError):
            mend = "the weights are truncated or damaged: copy them again"
        elif Path(path).exists():
            mend = "check that the folder is complete"
        else:
            mend = "check the model on the hub"
        raise SeamError(f"Cannot load the {what} {path} ({first.rstrip('.')}); {mend}.") from error


@cache
def _on_hub(name: str) -> None:
    """Ask the hub once and without retries, so that a mistyped path fails at once; cached models need no hub."""
    if isinstance(try_to_load_from_cache(name, "config.json"), str):
        return
    try:
        HfApi().model_info(name, timeout=HUB_SECONDS)
    except Exception as error:  # each release of the hub's client has other classes of network errors
        raise SeamError(
            f"No folder {name} here, and the hub did not deliver it ({type(error).__name__}); "
            "check the path, the name and the network."
        ) from error


def load_tokenizer(path: str | Path, revision: str | None = None, *, needs_end: bool = True) -> Any:
    """The tokenizer of a folder or hub id, padding on the right; a missing pad token becomes the end token.

    Raises SeamError when there is none, or when it has no end-of-text token and needs one (encoders don't).
    """
    folder = local(path)
    declared = None
    if folder is not None and (folder / "tokenizer_config.json").is_file():
        declared = read_json(folder / "tokenizer_config.json").get("tokenizer_class")
    with explained("tokenizer", path):
        tokenizer = tokenizer_class(declared).from_pretrained(
            str(folder or path), revision=revision, trust_remote_code=False
        )
    if tokenizer.eos_token_id is None and (needs_end or tokenizer.pad_token_id is None):
        raise SeamError(f"The tokenizer of {path} has no end-of-text token; set eos_token in tokenizer_config.json.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer


def refuse_no_policy(base: Base) -> None:
    """Raise SeamError for a classifier, which has no head that writes text; reads the configuration only."""
    names = configuration("model", base).architectures or []
    if any("Classification" in name or "RewardModel" in name for name in names):
        raise SeamError(f"{base.path} is a {names[0]}, which writes no text; give a causal language model.")


def parameters_of(path: str | Path) -> int:
    """Parameters of a base (tied weights once), from its configuration alone. Raises SeamError without one."""
    base = read_base(path)
    config = configuration("model", base)
    with explained("model", base.path), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return sum(parameter.numel() for parameter in model.parameters())


def configuration(what: str, base: Base) -> Any:
    """A model's `config.json`. Raises SeamError when it can't be had."""
    with explained(what, base.path):
        return AutoConfig.from_pretrained(base.path, revision=base.revision, trust_remote_code=False)


def load_causal(base: Base, device: torch.device, dtype: str | torch.dtype | None) -> Any:
    """A frozen causal language model in evaluation mode. Raises SeamError when weights are missing."""
    with explained("model", base.path):
        model, info = AutoModelForCausalLM.from_pretrained(
            base.path,
            revision=base.revision,
            output_loading_info=True,
            **precision(dtype or base.dtype, device),
            **SAFE,
        )
    refuse_missing(base.path, info, allowed=())
    return frozen(model, device)


def load_classifier(base: Base, device: torch.device, dtype: str | torch.dtype | None, *, headless: bool) -> Any:
    """A frozen sequence classifier with one label; `headless` bases have no `score` weights yet.

    Raises SeamError for several labels or missing weights.
    """
    if not headless:
        refuse_no_reward(base)
    with explained("reward model", base.path):
        model, info = AutoModelForSequenceClassification.from_pretrained(
            base.path,
            revision=base.revision,
            num_labels=1,
            output_loading_info=True,
            **precision(dtype or base.dtype, device),
            **SAFE,
        )
    refuse_missing(base.path, info, allowed=("score.weight",) if headless else ())
    return frozen(model, device)


def refuse_no_reward(base: Base) -> None:
    """Raise SeamError unless it is a sequence classifier with one label; reads the configuration only."""
    config = configuration("reward model", base)
    names = config.architectures or []
    if names and not any("SequenceClassification" in name or "RewardModel" in name for name in names):
        raise SeamError(
            f"{base.path} is a {names[0]} without a reward head; give a sequence classifier with one label."
        )
    if config.num_labels != 1:
        raise SeamError(f"{base.path} has {config.num_labels} labels; a reward model has exactly one.")


def refuse_missing(path: str, info: dict[str, Any], allowed: tuple[str, ...]) -> None:
    """Raise SeamError when weights would have been left random."""
    missing = sorted(str(key) for key in info.get("missing_keys", ()) if str(key) not in allowed)
    if missing:
        raise SeamError(f"{path} lacks {len(missing)} weights, {missing[0]} first; the checkpoint is incomplete.")


def frozen(model: Any, device: torch.device) -> Any:
    """The model on its device, in evaluation mode, with no trainable weights."""
    if not getattr(model, "is_quantized", False):  # those are placed as they load, and refuse to move
        model = model.to(device)
    return model.eval().requires_grad_(False)


def read_adapter(folder: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """Configuration and weights of a plain PEFT adapter folder. Raises SeamError when incomplete."""
    if not (folder / ADAPTER_CONFIG).is_file():
        raise SeamError(f"{folder} is no PEFT adapter: {ADAPTER_CONFIG} is missing.")
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise SeamError(f"{folder} has no {ADAPTER_WEIGHTS}; save the adapter with safetensors (no pickles are read).")
    with explained("adapter", folder):
        return PeftConfig.from_pretrained(str(folder)), load_file(folder / ADAPTER_WEIGHTS)
