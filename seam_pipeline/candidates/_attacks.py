"""What a run of attacks keeps and counts."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from ..experiment import Adversarial
from ..models.content import content_hash
from ..rowcache import RowCache, row_key

CODE = 1
"""Raised by hand when the same inputs give other texts."""


class Result(NamedTuple):
    """One attack on one instruction: its texts, and why they are fewer than asked for."""

    texts: list[str]
    short: str | None


@dataclass
class Attacks:
    """Attacks done before, kept in a row cache, and counters of this run.

    cache: finds and keeps results per instruction and recipe; without one nothing is kept. model: the reward model's
    content, as `models.content.model_content` gives it; needed with a cache.
    """

    cache: RowCache | None = None
    model: str = ""
    attacked: int = 0
    """Attacks run now: instructions times recipes."""
    reused: int = 0
    """Attacks whose result was kept before."""
    queries: int = 0
    """Texts that the reward model read, the golden responses and KATG's pool included."""
    pool_queries: int = 0
    """Of these, KATG's pool."""
    tokens: int = 0
    """Tokens that went through the reward model for them, the pool's left out."""

    def __post_init__(self) -> None:
        if self.cache is not None and not self.model:
            raise ValueError("a cache of attacks needs the content of the reward model")

    @property
    def notes(self) -> dict[str, int]:
        """The counters, for an artifact's record."""
        found = {"attacks": self.attacked, "attacks_reused": self.reused, "reward_queries": self.queries}
        return found | ({"reward_queries_of_pool": self.pool_queries} if self.pool_queries else {})

    def read_pool(self, queries: int) -> None:
        """Count the rewards of KATG's pool: read once per run, outside of every instruction's budget."""
        self.pool_queries += queries
        self.queries += queries

    def find(self, key: bytes) -> Result | None:
        """A result kept before."""
        found = self.cache.find([key]).get(key) if self.cache is not None else None
        if found is None:
            return None
        self.reused += 1
        return Result(*json.loads(found))

    def keep(self, key: bytes, result: Result) -> None:
        """Count an attack and keep its result, which a killed process does not lose."""
        self.attacked += 1
        if self.cache is not None:
            self.cache.keep({key: json.dumps(result, ensure_ascii=False).encode("utf-8", "surrogatepass")})


def everywhere(attacks: Attacks, model: Any, settings: Adversarial, n: int, seed: int) -> list[Any]:
    """The part of the keys that all instructions share: model, settings, contents of resources, code and versions."""
    number = [str(next(model.parameters()).dtype), str(getattr(model.config, "quantization_config", None) or "")]
    given = settings.model_dump(mode="json", exclude={"recipes": True, "resources": {"device"}})
    return [CODE, version("textattack"), attacks.model, number, given, _contents(settings), n, seed]


def key_of(shared: list[Any], recipe: str, item: dict[str, Any], taken: set[str], pool: str) -> bytes:
    """The key of one attack. `taken`: texts of earlier recipes, which it may not repeat."""
    row = [item[name] for name in ("id", "instruction", "golden_response", "worse_response")]
    return row_key("adversarial", *shared, recipe, row, sorted(taken), pool)


def _contents(settings: Adversarial) -> dict[str, str]:
    """Hashes of the resources that are files or folders."""
    named = settings.resources.model_dump(mode="json")
    return {name: content_hash(Path(v)) for name, v in named.items() if isinstance(v, str) and Path(v).exists()}
