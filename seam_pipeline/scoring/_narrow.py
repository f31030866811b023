"""The last layer computes only what is read: keys and values of every node, all the rest of a few."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from ..models._compat import layers_of

TOKENWISE = ("mlp", "feed_forward", "ffn", "q_proj", "o_proj", "out_proj", "dense", "c_proj")
"""Parts of a decoder layer that look at one token at a time, by the names that they have in most architectures."""


@contextmanager
def last_layer_narrowed(trunk: Any, wanted: torch.Tensor) -> Iterator[None]:
    """Inside, the last layer's token-wise parts run on the nodes `wanted` [n] and return 0 for the others.

    Raises ValueError when the model has no list of layers; a part that doesn't take and return one tensor raises
    TypeError when it runs.
    """
    with ExitStack() as stack:
        for part in _outermost(layers_of(trunk)[-1]):
            stack.enter_context(_replaced(part, _narrowed(part.forward, wanted)))
        yield


def _outermost(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    for name, child in module.named_children():
        if name in TOKENWISE:
            yield child
        else:
            yield from _outermost(child)


def _narrowed(forward: Callable[..., Any], wanted: torch.Tensor) -> Callable[..., torch.Tensor]:
    def narrowed(states: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        found = forward(states[:, wanted], *args, **kwargs)
        if not isinstance(found, torch.Tensor):
            raise TypeError("a part of its last layer returns more than a tensor")
        whole = found.new_zeros(*states.shape[:-1], found.shape[-1])
        whole[:, wanted] = found
        return whole

    return narrowed


@contextmanager
def _replaced(module: torch.nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """The module runs `forward` inside; an attribute of the instance, which `nn.Module.__call__` prefers."""
    before = vars(module).get("forward")
    vars(module)["forward"] = forward
    try:
        yield
    finally:
        if before is None:
            del vars(module)["forward"]
        else:
            vars(module)["forward"] = before
