"""How far a model reaches, read from its configuration."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Limits:
    """`positions`: longest sequence; `packable`: longest that a tree may hold; `alone_above`: longer ones in
    batches of one, because the model rescales its positions by the longest row. None = no limit."""

    positions: int | None
    packable: int | None
    alone_above: int | None


def limits_of(config: Any) -> Limits:
    """Sliding windows and chunked attention hide nothing from sequences within the window: only those are packed."""
    config = config.get_text_config()
    windows = [getattr(config, "attention_chunk_size", None)]
    if getattr(config, "use_sliding_window", True):
        windows.append(getattr(config, "sliding_window", None))
    alone_above = _rescaled_above(config)
    windows.append(alone_above)
    known = [int(window) for window in windows if window]
    positions = getattr(config, "max_position_embeddings", None)
    return Limits(int(positions) if positions and positions > 0 else None, min(known, default=None), alone_above)


def _rescaled_above(config: Any) -> int | None:
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    nested = [part for part in rope.values() if isinstance(part, dict)]
    if not any(part.get("rope_type", part.get("type")) == "longrope" for part in [rope, *nested]):
        return None
    found = [part.get("original_max_position_embeddings") for part in [rope, *nested]]
    found.append(getattr(config, "original_max_position_embeddings", None))
    return min((int(value) for value in found if value), default=None)
