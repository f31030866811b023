"""The one place that knows about versions: transformers 4.57 and 5.x, peft 0.17 to 0.21."""

import inspect
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from transformers.utils import logging as hf_logging


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars or warnings of transformers inside; what matters is checked and raised by us."""
    verbosity, bars = hf_logging.get_verbosity(), hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        hf_logging.set_verbosity(verbosity)
        if bars:
            hf_logging.enable_progress_bar()


def accepts(model: torch.nn.Module, argument: str) -> bool:
    """Whether the model's forward names this argument."""
    return argument in inspect.signature(model.forward).parameters


def activate(layers: Sequence[LoraLayer], names: Sequence[str]) -> None:
    """Make exactly these adapters add to the frozen weights, in this order; none is the bare base.

    Peft's public `set_adapter` also switches `requires_grad`, which drops gradients of a graph that is still
    to be run backwards; so its two state attributes are set, and the public view of them is checked.
    """
    state = {"_active_adapter": list(names), "_disable_adapters": not names}
    for layer in layers:
        vars(layer).update(state)
    if layers and (layers[0].active_adapters != list(names) or layers[0].disable_adapters == bool(names)):
        raise RuntimeError("this release of peft keeps its active adapters elsewhere; report it with peft's version")


def tokenizer_class(declared: str | None) -> Any:
    """The class that opens a tokenizer folder; transformers 4 does not know the name that 5 writes."""
    if declared == "TokenizersBackend" and not hasattr(transformers, "TokenizersBackend"):
        return transformers.PreTrainedTokenizerFast
    return transformers.AutoTokenizer


def plain(model: torch.nn.Module) -> torch.nn.Module:
    """The Hugging Face model inside a PeftModel, or the model itself."""
    inner: torch.nn.Module = model.get_base_model() if isinstance(model, PeftModel) else model
    return inner


def n_layers(trunk: Any) -> int:
    """Decoder layers that the configuration states."""
    return int(trunk.config.get_text_config().num_hidden_layers)


def layers_of(trunk: Any) -> list[Any]:
    """The decoder layers in their order. Raises ValueError when they are not in a list."""
    for module in trunk.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == n_layers(trunk):
            return list(module)
    raise ValueError("its layers are not in a list")


def trunk_of(model: torch.nn.Module) -> torch.nn.Module:
    """The model without its head: token ids in, hidden states out."""
    inner = plain(model)
    trunk: torch.nn.Module = getattr(inner, str(inner.base_model_prefix))
    return trunk


def project(model: torch.nn.Module, hidden: torch.Tensor) -> torch.Tensor:
    """Hidden states [..., H] to next-token logits [..., V], with the scalings that some architectures add."""
    inner: Any = plain(model)
    config = inner.config.get_text_config()
    logits: torch.Tensor = inner.get_output_embeddings()(hidden)
    if getattr(config, "logit_scale", None) is not None:
        logits = logits * config.logit_scale
    if getattr(config, "logits_scaling", None) is not None:
        logits = logits / config.logits_scaling
    cap = getattr(config, "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


def window_of(model: torch.nn.Module) -> int | None:
    """Longest sequence in tokens, if the model states one."""
    inner: Any = plain(model)
    limit = getattr(inner.config.get_text_config(), "max_position_embeddings", None)
    return int(limit) if limit else None
