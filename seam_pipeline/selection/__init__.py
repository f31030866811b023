"""Which RL instructions stay: SEAM, random, perplexity, or all of them."""

from .select import select

__all__ = ["select"]
