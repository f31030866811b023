"""The attention function that a model's layers are given: every token sees its ancestors in a prefix tree and itself.

The linear layers run over the tree's nodes, each token once and without padding; how the nodes look at each other is
left to a plan (`_blocks` on CPU, `_flex` on GPU).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import AttentionInterface

from ..models._compat import n_layers

NAME = "seam_tree"


class Plan(Protocol):
    """Who looks at whom in one batch."""

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float | None, last: bool
    ) -> torch.Tensor:
        """query [1, heads, N, d], key and value [1, kv heads, N, d] -> [1, N, heads, d].

        In the last layer (`last`) the plan may leave out nodes that nobody reads.
        """
        ...


@dataclass(frozen=True)
class _Active:
    plan: Plan
    last: int


_ACTIVE: ContextVar[_Active | None] = ContextVar("seam_tree_plan", default=None)


@contextmanager
def tree_attention(trunk: Any, plan: Plan) -> Iterator[None]:
    """The trunk's layers attend along this plan inside; its own attention comes back afterwards.

    Raises ValueError when the model doesn't let its attention be chosen.
    """
    before = trunk.config._attn_implementation
    trunk.set_attn_implementation(NAME)
    if trunk.config._attn_implementation != NAME:
        raise ValueError("its attention cannot be exchanged")
    token = _ACTIVE.set(_Active(plan, n_layers(trunk) - 1))
    try:
        yield
    finally:
        _ACTIVE.reset(token)
        trunk.set_attn_implementation(before)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_other: Any,
) -> tuple[torch.Tensor, None]:
    active = _ACTIVE.get()
    if active is None:
        raise ValueError(f"attention {NAME} is used outside of tree_attention")
    if softcap is not None or s_aux is not None:
        raise ValueError("soft-capped attention and attention sinks are not supported")
    last = getattr(module, "layer_idx", None) == active.last
    return active.plan.attend(query, key, value, scaling, last), None


AttentionInterface.register(NAME, _attend)
