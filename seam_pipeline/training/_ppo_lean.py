"""A LLaMA forward without bookkeeping: on small models the library's own costs more than the arithmetic.

Same numbers as `LlamaForCausalLM` up to rounding (tested). `Lean` is for what needs no gradients: rollouts, reference,
rewards; `_ppo_lean_training.py` adds the gradients of an adapter.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import LlamaForCausalLM

LARGEST = 500_000_000
"""Parameters above which arithmetic dominates and the library's forward is used."""


Layer = dict[str, Tensor]
"""A layer's weights: those of LINEARS by their part's name, and the two norms."""
LINEARS = {
    "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj", "o": "self_attn.o_proj",
    "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
}  # fmt: skip


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
    """The trunk with its weights as they are when this is made; rows are padded on the right."""

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

    def states(
        self, ids: Tensor, row: Tensor, place: Tensor, cache: Cache | None = None, rows: Tensor | None = None
    ) -> Tensor:
        """Last hidden states [N, H], after the final norm, of ids [B, T] at (row, place), two indices [N].

        Of the other tokens the last layer computes keys and values alone. Fills the rows `rows` [B] of `cache`, where
        one is given.
        """
        cosine, sine = self._rope(ids.shape[1])
        x = F.embedding(ids, self.embedding)
        last = len(self.layers) - 1
        for number in range(len(self.layers)):
            h = self._normed(x, self.layers[number]["attention_norm"])
            k, v = _rotated(self._split(h, number, "k"), cosine, sine), self._split(h, number, "v")
            if cache is not None:
                cache.keys[number][rows, :, : ids.shape[1]] = k
                cache.values[number][rows, :, : ids.shape[1]] = v
            if number < last:
                q = _rotated(self._split(h, number, "q"), cosine, sine)
                x = self._rest(x, self._attend(q, k, v, None).transpose(1, 2).flatten(2), number)
        asked = self._linear(h[row, place], last, "q")
        whole = asked.new_zeros(*ids.shape, asked.shape[-1]).index_put((row, place), asked)
        q = _rotated(whole.view(*ids.shape, -1, self.dim).transpose(1, 2), cosine, sine)
        attended = self._attend(q, k, v, None).transpose(1, 2)[row, place].flatten(1)
        return self._normed(self._rest(x[row, place], attended, last), self.norm)

    def step(self, tokens: Tensor, places: Tensor, longest: int, cache: Cache) -> Tensor:
        """Hidden states [B, H] of one more token per row at positions `places` [B]; `longest` = places.max() + 1."""
        cosine, sine = self._rope(longest)
        cosine, sine = cosine[places][:, None, None], sine[places][:, None, None]
        visible = (torch.arange(longest, device=places.device) <= places[:, None])[:, None, None]
        rows = torch.arange(len(places), device=places.device)
        x = F.embedding(tokens[:, None], self.embedding)
        for number in range(len(self.layers)):
            h = self._normed(x, self.layers[number]["attention_norm"])
            q, k = (_rotated(self._split(h, number, part), cosine, sine) for part in ("q", "k"))
            v = self._split(h, number, "v")
            keys, values = cache.keys[number], cache.values[number]
            keys[rows, :, places], values[rows, :, places] = k[:, :, 0], v[:, :, 0]
            attended = self._attend(q, keys[:, :, :longest], values[:, :, :longest], visible)
            x = self._rest(x, attended.transpose(1, 2).flatten(2), number)
        return self._normed(x, self.norm)[:, 0]

    def _split(self, h: Tensor, number: int, part: str) -> Tensor:
        """[B, heads, T, D]."""
        return self._linear(h, number, part).view(*h.shape[:2], -1, self.dim).transpose(1, 2)

    def _linear(self, x: Tensor, number: int, part: str) -> Tensor:
        return F.linear(x, self.layers[number][part])

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
        if self.heads != self.kv_heads:
            k, v = (t.repeat_interleave(self.heads // self.kv_heads, dim=1) for t in (k, v))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=visible, is_causal=visible is None)

    def _rest(self, x: Tensor, attended: Tensor, number: int) -> Tensor:
        """What follows a layer's attention, token by token."""
        x = x + self._linear(attended, number, "o")
        h = self._normed(x, self.layers[number]["mlp_norm"])
        gated = F.silu(self._linear(h, number, "gate")) * self._linear(h, number, "up")
        return x + self._linear(gated, number, "down")

    def _normed(self, x: Tensor, weight: Tensor) -> Tensor:
        return F.rms_norm(x, (self.width,), weight, self.epsilon)

    def _rope(self, length: int) -> tuple[Tensor, Tensor]:
        if len(self._cosine) < length:
            places = torch.arange(2 * length, device=self.embedding.device)[None]
            cosine, sine = self._rotary(self.embedding, places)
            self._cosine, self._sine = cosine[0, :, : self.dim // 2], sine[0, :, : self.dim // 2]
        return self._cosine[:length], self._sine[:length]


def _weights(layer: Any) -> Layer:
    linears = {part: layer.get_submodule(name).weight.data for part, name in LINEARS.items()}
    return {
        **linears,
        "attention_norm": layer.input_layernorm.weight.data,
        "mlp_norm": layer.post_attention_layernorm.weight.data,
    }


def _rotated(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    # Rotary positions (Su et al. 2021) in the half-split layout of the published LLaMA weights.
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
