"""A LLaMA forward without bookkeeping: on small models the library's own costs more than the arithmetic.

Same numbers as `LlamaForCausalLM` up to rounding (tested), for what needs no gradients: rollouts, reference, rewards.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaForCausalLM

LARGEST = 500_000_000
"""Parameters above which arithmetic dominates and the library's forward is used."""


class _Layer(NamedTuple):
    attention_norm: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    o: Tensor
    mlp_norm: Tensor
    gate: Tensor
    up: Tensor
    down: Tensor


class Cache:
    """Keys and values per layer [B, heads, L, D]; a token's slot is its position, so prompts need no left padding."""

    def __init__(self, layers: int, shape: tuple[int, int, int, int], like: Tensor) -> None:
        self.keys = [like.new_zeros(shape) for _ in range(layers)]
        self.values = [like.new_zeros(shape) for _ in range(layers)]

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these."""
        self.keys = [keys[rows] for keys in self.keys]
        self.values = [values[rows] for values in self.values]


def is_lean(model: Any) -> bool:
    """Whether `Lean` computes exactly this model: a float32 LLaMA of moderate size without biases or rescaled rope."""
    if type(model) is not LlamaForCausalLM:
        return False
    config, weight = model.config, next(model.parameters())
    plain = not (config.attention_bias or config.mlp_bias) and config.hidden_act in ("silu", "swish")
    rope = getattr(model.model.rotary_emb, "rope_type", None) in ("default", "linear", "llama3")
    return plain and rope and weight.dtype == torch.float32 and model.num_parameters() <= LARGEST


class Lean:
    """The trunk with its weights as they are when this is made; no gradients, rows padded on the right."""

    def __init__(self, model: LlamaForCausalLM) -> None:
        config, trunk = model.config, model.model
        self.width = config.hidden_size
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.dim = getattr(config, "head_dim", None) or self.width // self.heads
        self.epsilon = config.rms_norm_eps
        self.embedding, self.norm = trunk.embed_tokens.weight.data, trunk.norm.weight.data
        self.layers = [_weights(layer) for layer in trunk.layers]
        self._rotary = trunk.rotary_emb
        self._cosine = self._sine = self.embedding.new_zeros(0, self.dim // 2)

    def cache(self, rows: int, length: int) -> Cache:
        """Room for `length` tokens per row."""
        return Cache(len(self.layers), (rows, self.kv_heads, length, self.dim), self.embedding)

    def hidden(self, ids: Tensor, cache: Cache | None = None) -> Tensor:
        """Last hidden states [B, T, H], after the final norm, of whole sequences; fills `cache` where one is given."""
        cosine, sine = self._rope(ids.shape[1])
        x = F.embedding(ids, self.embedding)
        for number, layer in enumerate(self.layers):
            q, k, v = self._qkv(x, layer, cosine, sine)
            if cache is not None:
                cache.keys[number][:, :, : ids.shape[1]] = k
                cache.values[number][:, :, : ids.shape[1]] = v
            x = self._rest(x, self._attend(q, k, v, None), layer)
        return self._normed(x, self.norm)

    def step(self, tokens: Tensor, places: Tensor, longest: int, cache: Cache) -> Tensor:
        """Hidden states [B, H] of one more token per row at positions `places` [B]; `longest` = places.max() + 1."""
        cosine, sine = self._rope(longest)
        cosine, sine = cosine[places][:, None, None], sine[places][:, None, None]
        visible = (torch.arange(longest, device=places.device) <= places[:, None])[:, None, None]
        rows = torch.arange(len(places), device=places.device)
        x = F.embedding(tokens[:, None], self.embedding)
        for number, layer in enumerate(self.layers):
            q, k, v = self._qkv(x, layer, cosine, sine)
            keys, values = cache.keys[number], cache.values[number]
            keys[rows, :, places], values[rows, :, places] = k[:, :, 0], v[:, :, 0]
            x = self._rest(x, self._attend(q, keys[:, :, :longest], values[:, :, :longest], visible), layer)
        return self._normed(x, self.norm)[:, 0]

    def _qkv(self, x: Tensor, layer: _Layer, cosine: Tensor, sine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self._normed(x, layer.attention_norm)
        q, k, v = (
            F.linear(h, weight).view(x.shape[0], x.shape[1], -1, self.dim).transpose(1, 2)
            for weight in (layer.q, layer.k, layer.v)
        )
        return _rotated(q, cosine, sine), _rotated(k, cosine, sine), v

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
        if self.heads != self.kv_heads:
            k, v = (t.repeat_interleave(self.heads // self.kv_heads, dim=1) for t in (k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=visible, is_causal=visible is None)

    def _rest(self, x: Tensor, attended: Tensor, layer: _Layer) -> Tensor:
        x = x + F.linear(attended.transpose(1, 2).flatten(2), layer.o)
        h = self._normed(x, layer.mlp_norm)
        gated = F.silu(F.linear(h, layer.gate), inplace=True).mul_(F.linear(h, layer.up))
        return x.add_(F.linear(gated, layer.down))

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (self.width,), weight, self.epsilon)

    def _rope(self, length: int) -> tuple[Tensor, Tensor]:
        if len(self._cosine) < length:
            places = torch.arange(2 * length, device=self.embedding.device)[None]
            cosine, sine = self._rotary(self.embedding, places)
            self._cosine, self._sine = cosine[0, :, : self.dim // 2], sine[0, :, : self.dim // 2]
        return self._cosine[:length], self._sine[:length]


def _weights(layer: Any) -> _Layer:
    attention, mlp = layer.self_attn, layer.mlp
    linears: Sequence[Any] = (attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj)
    q, k, v, o = (linear.weight.data for linear in linears)
    gate, up, down = (linear.weight.data for linear in (mlp.gate_proj, mlp.up_proj, mlp.down_proj))
    norms = (layer.input_layernorm.weight.data, layer.post_attention_layernorm.weight.data)
    return _Layer(norms[0], q, k, v, o, norms[1], gate, up, down)


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    # Rotary positions (Su et al. 2021) in the half-split layout of the published LLaMA weights.
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
