"""Several LoRA adapters on one frozen base: SFT, RM and RL share the base's memory."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file

from ..errors import SeamError
from ..experiment import Lora
from ._compat import activate, project, quiet, trunk_of
from ._files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, read_base
from ._load import as_device, load_causal, load_classifier, load_tokenizer, read_adapter

ALWAYS = {"peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "target_modules", "bias", "use_rslora"}


class AdapterStack:
    """A frozen model with named LoRA adapters, of which any number are active at once and add up.

    `model` is the plain Hugging Face model; adapters live inside its linear layers. Inactive adapters cost nothing.
    """

    def __init__(self, model: Any, tokenizer: Any, device: torch.device) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.device = device
        self._peft: PeftModel | None = None
        self._layers: list[LoraLayer] = []
        self._active: tuple[str, ...] = ()

    @classmethod
    def from_base(
        cls,
        base: str | Path,
        device: str | torch.device = "cpu",
        dtype: str | torch.dtype | None = None,
        *,
        classifier: bool = False,
    ) -> "AdapterStack":
        """Load a base folder or hub id as a causal LM, or as a headless classifier with one label."""
        place, where = read_base(base), as_device(device)
        tokenizer = load_tokenizer(place.path, place.revision)
        if classifier:
            return cls(load_classifier(place, where, dtype, headless=True), tokenizer, where)
        return cls(load_causal(place, where, dtype), tokenizer, where)

    @property
    def names(self) -> tuple[str, ...]:
        """Every adapter, in the order of arrival."""
        return tuple(self._peft.peft_config) if self._peft is not None else ()

    @property
    def active(self) -> tuple[str, ...]:
        """The adapters that add to the base now."""
        return self._active

    def load_adapter(self, name: str, folder: str | Path, *, trainable: bool = False) -> None:
        """Add a saved PEFT LoRA adapter, inactive. A frozen one (the default) has no dropout even in training mode.

        Raises SeamError when it is damaged, is no LoRA, or was trained on another base.
        """
        config, state = read_adapter(Path(folder))
        if not isinstance(config, LoraConfig):
            raise SeamError(f"{folder} is a {config.peft_type} adapter; only LoRA adapters stack.")
        try:
            self._inject(name, config, seed=0)
            outcome = set_peft_model_state_dict(self._peft, state, adapter_name=name)
        except (RuntimeError, ValueError, KeyError) as error:
            raise SeamError(
                f"Adapter {folder} does not fit this base model; use the base it was trained on."
            ) from error
        if outcome.unexpected_keys or any(f".{name}." in key for key in outcome.missing_keys):
            raise SeamError(f"Adapter {folder} does not fit this base model; use the base it was trained on.")
        if not trainable:
            for layer in self._layers:
                if name in layer.lora_dropout:
                    layer.lora_dropout[name] = torch.nn.Identity()

    def add_adapter(self, name: str, lora: Lora, seed: int = 0) -> None:
        """Add a fresh adapter, inactive, whose update is zero; its random half depends on `seed` alone.

        Raises SeamError when a target layer doesn't exist or the name is taken.
        """
        places = [f".{place}" for place, _ in self.model.named_modules()]
        for target in lora.target_modules:
            if not any(place.endswith(f".{target}") for place in places):
                raise SeamError(f"The base model has no layers named {target}; check lora.target_modules.")
        config = LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=list(lora.target_modules),
            bias="none",
        )
        self._inject(name, config, seed)

    def _inject(self, name: str, config: LoraConfig, seed: int) -> None:
        if name in self.names:
            raise SeamError(f"There is an adapter {name!r} already.")
        config.inference_mode = False
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices), quiet():
            torch.manual_seed(seed)
            if self._peft is None:
                self._peft = PeftModel(self.model, config, adapter_name=name)
            else:
                self._peft.add_adapter(name, config)
        self._layers = [module for module in self.model.modules() if isinstance(module, LoraLayer)]
        self.model.requires_grad_(False)
        self.model.to(self.device)
        activate(self._layers, self._active)

    @contextmanager
    def using(self, *names: str) -> Iterator[None]:
        """Exactly these adapters add, in this order, inside the block; no name is the bare base."""
        before = self._active
        self.use(*names)
        try:
            yield
        finally:
            self.use(*before)

    def use(self, *names: str) -> None:
        """Like `using`, until further notice."""
        if names == self._active:
            return
        unknown = [name for name in names if name not in self.names]
        if unknown:
            raise SeamError(f"No adapter {unknown[0]!r} here; there are: {', '.join(self.names) or 'none'}.")
        activate(self._layers, names)
        self._active = names

    def parameters_of(self, name: str) -> list[torch.nn.Parameter]:
        """The adapter's weights, in the order of the layers."""
        return [p for key, p in self.model.named_parameters() if f".{name}." in key and ".lora_" in key]

    def train_only(self, *names: str) -> list[torch.nn.Parameter]:
        """Let exactly these adapters require gradients; returns their weights."""
        self.model.requires_grad_(False)
        chosen = [parameter for name in names for parameter in self.parameters_of(name)]
        for parameter in chosen:
            parameter.requires_grad_(True)
        return chosen

    def save_adapter(self, name: str, folder: str | Path) -> Path:
        """Write one adapter as a plain PEFT folder; equal weights give equal bytes."""
        if self._peft is None or name not in self.names:
            raise SeamError(f"No adapter {name!r} to save; there are: {', '.join(self.names) or 'none'}.")
        return write_adapter(self._peft, name, Path(folder))

    def merge(self, names: Sequence[str]) -> None:
        """Add these adapters into the base's weights, in memory, and take all adapters away."""
        if self._peft is None:
            return
        self.use(*names)
        if names:
            self._peft.base_model.merge_and_unload(adapter_names=list(names))
        else:
            self._peft.base_model.unload()
        self._peft, self._layers, self._active = None, [], ()
        self.model.requires_grad_(False)

    def hidden(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Last hidden states [B, T, H] of token ids [B, T] (mask: 1 is a token), after the final norm."""
        places = {} if position_ids is None else {"position_ids": position_ids}
        output = trunk_of(self.model)(input_ids=input_ids, attention_mask=attention_mask, use_cache=False, **places)
        states: torch.Tensor = output.last_hidden_state
        return states

    def lm_logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Next-token logits [..., V] of hidden states [..., H]."""
        return project(self.model, hidden)


def write_adapter(model: PeftModel, name: str, out: Path) -> Path:
    """Write an adapter of a PEFT model as a plain folder; equal weights give equal bytes."""
    out.mkdir(parents=True, exist_ok=True)
    state = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    weights = {key: value.detach().cpu().contiguous() for key, value in sorted(state.items())}
    save_file(weights, out / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    (out / ADAPTER_CONFIG).write_text(_config_text(model.peft_config[name]), "utf-8")
    return out


def _config_text(config: LoraConfig) -> str:
    """The adapter's configuration without defaults, paths and versions: any release of peft reads it."""
    defaults = LoraConfig().to_dict()
    fields = {
        key: sorted(value) if isinstance(value, set) else value
        for key, value in config.to_dict().items()
        if key in ALWAYS or value != defaults.get(key)
    }
    for key in ("base_model_name_or_path", "revision", "peft_version", "auto_mapping"):
        fields.pop(key, None)
    fields["inference_mode"] = True
    return json.dumps(fields, indent=2, sort_keys=True) + "\n"
