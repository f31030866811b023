"""Log-probabilities and entropies of response tokens: the vocabulary projection in one piece or in several."""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ..models._compat import plain
from ..models.stack import AdapterStack
from ._ppo_math import entropy

WHOLE = 2**24
"""Logits (64 MiB in float32) up to which they are made in one piece and kept for the backward pass."""
PIECE = 2**22
"""Logits per piece beyond that (16 MiB): large enough for the matrix products' full speed."""
SCALINGS = ("logit_scale", "logits_scaling", "final_logit_softcapping")


class Tokens(NamedTuple):
    """Numbers of N tokens, float32 nats: log P(token) and, where asked for, the entropy of its distribution."""

    logp: Tensor
    entropy: Tensor | None


def project_tokens(
    stack: AdapterStack, hidden: Tensor, tokens: Tensor, temperature: float, with_entropy: bool = False
) -> Tokens:
    """log P(tokens [N]) under softmax(logits / temperature) of hidden states [N, H] before them; differentiable.

    Beyond `WHOLE` logits they are never kept: the projection is frozen, so each token needs of them for the backward
    pass only d log P / d hidden = (W[token] - sum_v p_v W_v) / temperature, [H] numbers instead of [V]. Same
    arithmetic, a share H / V of the memory.
    """
    weight = _frozen_weight(stack.model)
    if weight is None or len(tokens) * len(weight) <= WHOLE:
        logits = stack.lm_logits(hidden).float()
        every = torch.log_softmax(logits if temperature == 1 else logits / temperature, -1)
        logp = every.gather(-1, tokens[:, None]).squeeze(-1)
        return Tokens(logp, entropy(every) if with_entropy else None)
    logp, spread = _Pieces.apply(hidden, weight, tokens, temperature, with_entropy)
    return Tokens(logp, spread if with_entropy else None)


def _frozen_weight(model: Any) -> Tensor | None:
    """The projection [V, H] where it is that matrix alone, without bias, adapter, scaling or training."""
    inner = plain(model)
    layer, config = inner.get_output_embeddings(), inner.config.get_text_config()  # type: ignore[operator, union-attr]
    if type(layer) is not torch.nn.Linear or layer.bias is not None or layer.weight.requires_grad:
        return None
    return None if any(getattr(config, name, None) is not None for name in SCALINGS) else layer.weight


class _Pieces(torch.autograd.Function):
    """(hidden [N, H], weight [V, H], tokens [N], temperature, with_entropy) -> log P [N], entropy [N] (else zeros).

    With z the logits over the temperature, p = softmax(z) and E = -sum p log p: d log p_y / d z_j = [j = y] - p_j and
    d E / d z_j = -p_j (log p_j + E).
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, tokens: Tensor, temperature: float, with_entropy: bool
    ) -> tuple[Tensor, Tensor]:
        logp, spread = torch.zeros(2, len(tokens), device=hidden.device)
        wanted = ctx.needs_input_grad[0]
        slopes = [torch.empty_like(hidden) for _ in range((1 + with_entropy) * wanted)]
        rows = max(1, PIECE // len(weight))
        for start in range(0, len(tokens), rows):
            part = slice(start, start + rows)
            logits = F.linear(hidden[part], weight).float().div_(temperature)
            logits -= logits.logsumexp(-1, keepdim=True)
            logp[part] = logits.gather(-1, tokens[part, None]).squeeze(-1)
            p = logits.exp()
            if with_entropy:
                surprise = logits.mul_(p)
                spread[part] = -surprise.sum(-1)
            if wanted:
                slopes[0][part] = (weight[tokens[part]] - p.to(weight.dtype) @ weight) / temperature
            if wanted and with_entropy:
                slope = -(surprise + p * spread[part, None])
                slopes[1][part] = slope.to(weight.dtype) @ weight / temperature
        ctx.save_for_backward(*slopes)
        return logp, spread

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:
        slopes = ctx.saved_tensors
        parts = (g[:, None].to(slope.dtype) * slope for g, slope in zip(gradients, slopes, strict=False))
        return torch.stack(list(parts)).sum(0), None, None, None, None
