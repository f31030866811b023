"""The lean forward with gradients for one LoRA adapter: an adapted layer is one product, forwards and backwards."""

from typing import Any, NamedTuple

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor
from torch.nn import functional as F

from ._ppo_attention import causal_attention
from ._ppo_lean import LINEARS, Lean


class Factors(NamedTuple):
    """A layer's adapter, W + scale * B A."""

    a: Tensor
    b: Tensor
    scale: float


class LeanTraining(Lean):
    """`Lean` on the weights as they are now, with an adapter whose factors get gradients; all else is frozen."""

    def __init__(self, model: Any, adapter: str) -> None:
        super().__init__(model)
        self._factors = [_factors(layer, adapter) for layer in model.model.layers]

    def _linear(self, x: Tensor, number: int, part: str) -> Tensor:
        factors = self._factors[number].get(part)
        weight = self.layers[number][part]
        return F.linear(x, weight) if factors is None else _Adapted.apply(x, weight, *factors)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
        if visible is not None or q.device.type != "cpu" or self.heads != self.kv_heads:
            return super()._attend(q, k, v, visible)
        return causal_attention(q, k, v)


def adapts_only_linears(model: Any) -> bool:
    """Whether every LoRA layer of a LLaMA is one that `LeanTraining` knows."""
    known = {id(layer.get_submodule(name)) for layer in model.model.layers for name in LINEARS.values()}
    return all(id(module) in known for module in model.modules() if isinstance(module, LoraLayer))


def _factors(layer: Any, adapter: str) -> dict[str, Factors]:
    found = {}
    for part, name in LINEARS.items():
        linear = layer.get_submodule(name)
        if isinstance(linear, LoraLayer) and adapter in linear.lora_A:
            a, b = linear.lora_A[adapter].weight, linear.lora_B[adapter].weight
            found[part] = Factors(a, b, float(linear.scaling[adapter]))
    return found


class _Adapted(torch.autograd.Function):
    """x [..., I], W [O, I], A [r, I], B [O, r], s -> x (W + s B A)^T [..., O].

    With g the output's gradient: dx = g (W + s B A), dB = s g^T (x A^T), dA = s (g B)^T x. x A^T is made again
    backwards: it costs r / O of the product and would have to be kept.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
        whole = torch.addmm(weight, b, a, alpha=scale)
        ctx.save_for_backward(x, whole, a, b)
        ctx.scale = scale
        return F.linear(x, whole)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None, Tensor, Tensor, None]:
        x, whole, a, b = ctx.saved_tensors
        g, rows = gradients[0].flatten(0, -2), x.flatten(0, -2)
        dx = (g @ whole).view_as(x) if ctx.needs_input_grad[0] else None
        da = ((g @ b).t() @ rows).mul_(ctx.scale)
        db = (g.t() @ (rows @ a.t())).mul_(ctx.scale)
        return dx, None, da, db, None
