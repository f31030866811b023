"""seam_pipeline: where a reward model misjudges what its policy model would write.

>>> import seam_pipeline as seam
>>> pair = seam.load(policy=..., reward=...)
>>> found = seam.score(pair, rows, candidates)
>>> kept = seam.select(rows, found.scores, rate=0.2)

Nothing heavy is imported before it is used. See `seam_pipeline.api` and docs/your_own_models.md.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Pair, load, load_policy, load_reward, score, select

__version__ = "0.1.0"
__all__ = ["Pair", "load", "load_policy", "load_reward", "score", "select"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
