"""One frozen base seen as several models: policy, reference and reward model differ in their active adapters only."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.lora import LoraLayer
from torch import Tensor

from ..errors import SeamError
from ..models._compat import accepts, plain, trunk_of
from ..models.stack import AdapterStack
from ._divided import is_divided
from ._ppo_lean import LARGEST, Lean, is_lean
from ._ppo_lean_training import LeanTraining, adapts_only_linears


@dataclass(frozen=True)
class View:
    """Adapters in their order: the first ones folded into the weights (`weights`, if any), the rest active."""

    active: tuple[str, ...]
    weights: tuple[Tensor, ...] | None = None
    lean: Lean | None = None


class Views:
    """Makes and enters views of an adapter stack.

    Folding, W + sum of scale * B A as another tensor in the layer's place, is exact to undo and saves the adapters'
    small products; only for float32 weights of moderate size, elsewhere it would round, or double the memory.
    """

    def __init__(self, stack: AdapterStack) -> None:
        self.stack = stack
        self._layers = [module for module in stack.model.modules() if isinstance(module, LoraLayer)]
        self.foldable = _foldable(stack.model, self._layers)
        self._base = tuple(_weight(layer).data for layer in self._layers) if self.foldable else None
        self.lean = self.foldable and is_lean(stack.model) and adapts_only_linears(stack.model)
        self._recomputed = False
        self.trunk = trunk_of(stack.model)
        self.placed = accepts(self.trunk, "position_ids")

    def view(self, folded: Sequence[str], active: Sequence[str] = ()) -> View:
        """The model with these adapters; without active ones it is for use without gradients.

        A view with folded adapters keeps their weights as they are now: make it again when they have changed.
        """
        if self._base is None:
            return View((*folded, *active))
        with torch.no_grad():
            weights = tuple(
                self._folded(layer, base, folded) for layer, base in zip(self._layers, self._base, strict=True)
            )
        view = View(tuple(active), weights)
        if not self.lean or len(active) > 1:
            return view
        with self.entered(view):
            lean = LeanTraining(self.stack.model, active[0]) if active else Lean(self.stack.model)
        return replace(view, lean=lean)

    @contextmanager
    def entered(self, view: View) -> Iterator[None]:
        """The stack's model is that view inside the block (backward passes included)."""
        try:
            with self.stack.using(*view.active):
                self._put(view.weights or self._base)
                yield
        finally:
            self._put(self._base)

    @contextmanager
    def recomputing(self, wanted: bool) -> Iterator[None]:
        """Gradient checkpointing inside the block: layers keep their inputs only and run again backwards.

        The library does it in training mode alone, in which dropout would act: so only the layers themselves, not
        their parts, are put into it. Raises SeamError for a model that cannot.
        """
        if not wanted:
            yield
            return
        self._recomputed = True
        model: Any = plain(self.stack.model)
        if not getattr(model, "supports_gradient_checkpointing", False):
            raise SeamError(f"{type(model).__name__} cannot recompute its layers; set gradient_checkpointing to false.")
        # The second names are those of transformers before 5.23.
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        disable = getattr(model, "activation_checkpointing_disable", None) or model.gradient_checkpointing_disable
        enable({"use_reentrant": False})
        layers = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
        try:
            for layer in layers:
                layer.training = True
            yield
        finally:
            self._recomputed = False
            for layer in layers:
                layer.training = False
            disable()

    def states(self, view: View, ids: Tensor, row: Tensor, place: Tensor) -> Tensor:
        """Last hidden states [N, H] at (row, place) [N] of ids [B, T] padded on the right, inside `entered(view)`.

        Causal attention never looks right, so the padding needs no mask; states on it mean nothing.
        """
        if view.lean is None or self._recomputed:
            return self.stack.hidden(ids)[row, place]
        return view.lean.states(ids, row, place)

    def _put(self, weights: Sequence[Tensor] | None) -> None:
        if weights is None:
            return
        for layer, weight in zip(self._layers, weights, strict=True):
            _weight(layer).data = weight

    @staticmethod
    def _folded(layer: Any, base: Tensor, names: Sequence[str]) -> Tensor:
        for name in names:
            if name in layer.lora_A:
                base = base + layer.get_delta_weight(name)
        return base


def _weight(layer: Any) -> torch.nn.Parameter:
    weight: torch.nn.Parameter = layer.get_base_layer().weight
    return weight


def _foldable(model: Any, layers: Sequence[Any]) -> bool:
    if any(parameter.dtype != torch.float32 or is_divided(parameter) for parameter in model.parameters()):
        return False
    if model.num_parameters() > LARGEST:
        return False
    return all(
        isinstance(layer, LoraLinear) and not any(layer.use_dora.values()) and _biasless(layer) for layer in layers
    )


def _biasless(layer: Any) -> bool:
    return not any(getattr(layer, "lora_bias", {}).values())
