"""Which RL instructions stay: by SEAM, by one of the baselines, or all of them."""

from .select import select

__all__ = ["select"]
