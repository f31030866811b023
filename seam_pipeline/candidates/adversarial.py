"""SEAM-Adv: changed worse responses that a reward model prefers to the golden one (SPEC section 6)."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ..errors import SeamError
from ..experiment import Adversarial
from ..progress import Progress, silent
from ..rowcache import row_key
from ._attacks import Attacks, Result, everywhere, key_of
from ._diverse import spread
from ._rewards import RewardQueries
from ._rows import Candidate, Rows, row_seed
from ._texts import normalised

if TYPE_CHECKING:
    from ..models.stack import RewardModel
    from ._keywords import Pool

__all__ = ["Attacks", "adversarial_candidates"]

_COLUMNS = ["id", "instruction", "golden_response", "worse_response"]
_FEW = 8


def adversarial_candidates(
    rl: pa.Table,
    rm: "RewardModel",
    settings: Adversarial,
    n: int,
    seed: int = 0,
    progress: Progress = silent,
    attacks: Attacks | None = None,
) -> pa.Table:
    """CANDIDATES for each row of `rl`: up to n texts per recipe with R(I, r- + alpha) > R(I, r+).

    rl: `id, instruction, golden_response, worse_response`. Each attack starts from the worse response and changes its
    words only, at least one, even where the worse response itself already beats the golden one. The n texts differ
    pairwise in two words or more (in one, where at most 8 words can change) and are chosen for diversity among all
    that the search met; `source` is the recipe. Deterministic by seed and id, whatever the other rows (but for `katg`,
    whose keywords come from them). `settings.max_queries` counts texts read by the reward model, per recipe.
    `attacks` keeps results: an instruction attacked before, with everything equal, is not attacked again.
    Null with a reason: no worse response, an empty one, one equal to the golden response or longer than the model's
    positions, rewards that are not finite, a reserved token. A prompt too long is cut on the left, as in scoring.
    Raises SeamError for missing columns, ids that come twice, or when TextAttack is not installed.
    """
    items = _items(rl)
    attacker = _Attacker(rl, rm, settings, n, seed, attacks or Attacks())
    rm.model.eval()
    rows = Rows()
    for done, item in enumerate(items, start=1):
        found = list(attacker.attack(item))
        short = "; ".join(f"{name}: {result.short}" for name, result in found if result.short)
        candidates = [Candidate(text, name) for name, result in found for text in result.texts]
        rows.add(item["id"], candidates, short or None, "adversarial")
        progress(done, len(items))
    return rows.table()


def _items(rl: pa.Table) -> list[dict[str, Any]]:
    missing = [name for name in _COLUMNS if name not in rl.column_names]
    if missing:
        raise SeamError(f"The rows to attack lack {', '.join(missing)}; they have {', '.join(rl.column_names)}.")
    items: list[dict[str, Any]] = rl.select(_COLUMNS).to_pylist()
    seen: set[str] = set()
    for item in items:
        if item["id"] in seen:
            raise SeamError(f"The id {item['id']} comes twice in the rows to attack; ids must be unique.")
        seen.add(item["id"])
    return items


@dataclass
class _Attacker:
    rl: pa.Table
    rm: "RewardModel"
    settings: Adversarial
    n: int
    seed: int
    attacks: Attacks
    shared: list[Any] = field(init=False)
    _recipes: dict[str, Any] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.shared = everywhere(self.attacks, self.rm.model, self.settings, self.n, self.seed)

    @cached_property
    def pool(self) -> "Pool | None":
        """What KATG finds its keywords in: the same rows whatever has been attacked already."""
        from ._keywords import Pool

        return Pool.of(self.rl, self.rm, self.settings) if "katg" in self.settings.recipes else None

    @cached_property
    def pool_content(self) -> str:
        return row_key(list(self.pool.pairs)).hex() if self.pool is not None else ""

    @cached_property
    def resources(self) -> Any:
        """Words and models that the attacks use, loaded for the first instruction that is really attacked."""
        from ._resources import Resources

        return Resources.for_texts([t for t in self.rl["worse_response"].to_pylist() if t], self.settings, self.pool)

    def recipe(self, name: str) -> Any:
        """The recipe, made when it is first needed."""
        from ._recipes import RECIPES

        if name not in self._recipes:
            before = self.resources.pool_queries
            self._recipes[name] = RECIPES[name](self.resources)
            self.attacks.read_pool(self.resources.pool_queries - before)
        return self._recipes[name]

    def attack(self, item: dict[str, Any]) -> Iterator[tuple[str, Result]]:
        """(recipe, result) for each recipe; no text comes twice."""
        if (reason := _impossible(item)) is not None:
            yield "all recipes", Result([], f"0 of {self.n}: {reason}")
            return
        one = _Instruction(self, item)
        taken = {normalised(item["golden_response"]), normalised(item["worse_response"])}
        for name in self.settings.recipes:
            key = key_of(self.shared, name, item, taken, self.pool_content if name == "katg" else "")
            result = self.attacks.find(key)
            if result is None:
                result = one.run(name, taken)
                self.attacks.keep(key, result)
            taken.update(normalised(t) for t in result.texts)
            yield name, result


@dataclass
class _Instruction:
    """One instruction under attack; the model reads nothing before the first recipe needs it."""

    by: _Attacker
    item: dict[str, Any]

    @cached_property
    def rewards(self) -> RewardQueries:
        return RewardQueries(self.by.rm, self.item["instruction"], self.item["worse_response"])

    @cached_property
    def golden(self) -> float:
        """The golden response's reward."""
        golden = self.rewards([self.item["golden_response"]])[0]
        self.by.attacks.queries += 1
        return golden

    def run(self, name: str, taken: set[str]) -> Result:
        """Attack with one recipe; independent of the recipes before but for their texts, `taken`."""
        n = self.by.n
        if not all(map(self.rewards.fits, (self.item["golden_response"], self.item["worse_response"]))):
            return Result(
                [], f"0 of {n}: a response alone is longer than the reward model's {self.by.rm.window} tokens"
            )
        if not isfinite(self.golden):
            return Result([], f"0 of {n}: the golden response's reward is {self.golden}")
        self.rewards.restart()
        before = self.rewards.tokens
        result = self._search(name, taken)
        self.by.attacks.queries += self.rewards.count
        self.by.attacks.tokens += self.rewards.tokens - before
        return result

    def _search(self, name: str, taken: set[str]) -> Result:
        from ._response import Response

        settings, n = self.by.settings, self.by.n
        recipe, text = self.by.recipe(name), Response(self.item["worse_response"])
        positions = recipe.positions(text)
        if not positions:
            return Result([], f"0 of {n}: no word of the worse response has a substitute")
        recipe.goal.start(self.rewards, self.golden, settings.max_queries)
        rng = np.random.default_rng(row_seed(self.by.seed, self.item["id"], name))

        def chosen() -> list[str]:
            found = [t for t in sorted(recipe.goal.successes) if normalised(t) not in taken]
            words = [recipe.goal.successes[t].words for t in found]
            return [found[i] for i in spread(words, text.words, n, 2 if len(positions) > _FEW else 1)]

        recipe.search(recipe, text, rng, settings.max_restarts, lambda: len(chosen()) >= n)
        recipe.attack.clear_cache(recursive=False)
        texts = chosen()
        return Result(texts, None if len(texts) >= n else self._short(len(texts), recipe.goal))

    def _short(self, found: int, goal: Any) -> str:
        queries = f"{self.rewards.count} reward queries (at most {self.by.settings.max_queries})"
        broken = f"; {goal.broken} rewards were not finite" if goal.broken else ""
        return f"{found} of {self.by.n}: no more texts beat the golden response within {queries}{broken}"


def _impossible(item: dict[str, Any]) -> str | None:
    from ._recipes import SPLIT_TOKEN

    golden, worse = item["golden_response"], item["worse_response"]
    if golden is None or not golden.strip():
        return "the golden response is empty"
    if worse is None:
        return "there is no worse response, all answers have the same score"
    if not worse.strip():
        return "the worse response is empty"
    if normalised(worse) == normalised(golden):
        return "the worse response equals the golden one"
    if SPLIT_TOKEN in worse:
        return f"the worse response contains {SPLIT_TOKEN}, which TextAttack reserves"
    return None
