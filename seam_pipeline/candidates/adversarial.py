"""SEAM-Adv: changed worse responses that a reward model prefers to the golden one (SPEC section 6)."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from ..experiment import Adversarial
from ..progress import Progress, silent
from ._diverse import spread
from ._rewards import RewardQueries
from ._rows import Candidate, Rows, row_seed
from ._texts import normalised

if TYPE_CHECKING:
    from ..models.stack import RewardModel


_FEW = 8


def adversarial_candidates(
    rl: pa.Table,
    rm: "RewardModel",
    settings: Adversarial,
    n: int,
    seed: int = 0,
    progress: Progress = silent,
) -> pa.Table:
    """CANDIDATES for each row of `rl`: up to n texts per recipe with R(I, r- + alpha) > R(I, r+).

    rl: `id, instruction, golden_response, worse_response`. Each attack starts from the worse response and changes its
    words only, at least one, even where the worse response itself already beats the golden one. The n texts differ
    pairwise in two words or more (in one, where at most 8 words can change) and are chosen for diversity among all
    that the search met; `source` is the recipe. Deterministic by seed and id. `settings.max_queries` counts texts read
    by the reward model, per recipe.
    Raises SeamError when TextAttack is not installed.
    """
    attacker = _Attacker.for_texts([r for r in rl["worse_response"].to_pylist() if r], settings, n, seed)
    rm.model.eval()
    rows = Rows()
    items = rl.select(["id", "instruction", "golden_response", "worse_response"]).to_pylist()
    for done, item in enumerate(items, start=1):
        found = list(attacker.attack(item, rm))
        short = "; ".join(f"{name}: {reason}" for name, _, reason in found if reason)
        candidates = [Candidate(text, name) for name, texts, _ in found for text in texts]
        rows.add(item["id"], candidates, short or None, "adversarial")
        progress(done, len(items))
    return rows.table()


@dataclass
class _Attacker:
    recipes: dict[str, Any]
    settings: Adversarial
    n: int
    seed: int

    @classmethod
    def for_texts(cls, texts: list[str], settings: Adversarial, n: int, seed: int) -> "_Attacker":
        from ._recipes import RECIPES
        from ._response import Response
        from ._synonyms import Synonyms

        synonyms = Synonyms({word for text in texts for word in Response(text).words})
        return cls({name: RECIPES[name](synonyms) for name in settings.recipes}, settings, n, seed)

    def attack(self, item: dict[str, str], rm: "RewardModel") -> Iterator[tuple[str, list[str], str | None]]:
        """(recipe, texts, why fewer than n) for each recipe; no text comes twice."""
        if (reason := _impossible(item)) is not None:
            yield "all recipes", [], f"0 of {self.n}: {reason}"
            return
        rewards = RewardQueries(rm, item["instruction"], item["worse_response"])
        golden = rewards([item["golden_response"]])[0]
        if not isfinite(golden):
            yield "all recipes", [], f"0 of {self.n}: the golden response's reward is {golden}"
            return
        taken = {normalised(item["golden_response"])}
        for name in self.recipes:
            texts, reason = self._run(name, item, rewards, golden, taken)
            taken.update(normalised(t) for t in texts)
            yield name, texts, reason

    def _run(
        self, name: str, item: dict[str, str], rewards: RewardQueries, golden: float, taken: set[str]
    ) -> tuple[list[str], str | None]:
        from ._response import Response

        recipe, text = self.recipes[name], Response(item["worse_response"])
        positions = recipe.positions(text)
        if not positions:
            return [], f"0 of {self.n}: no word of the worse response has a local synonym"
        before = rewards.count
        recipe.goal.start(rewards, golden, self.settings.max_queries)
        rng = np.random.default_rng(row_seed(self.seed, item["id"], name))

        def chosen() -> list[str]:
            found = [t for t in sorted(recipe.goal.successes) if normalised(t) not in taken]
            words = [recipe.goal.successes[t].words for t in found]
            return [found[i] for i in spread(words, text.words, self.n, 2 if len(positions) > _FEW else 1)]

        recipe.search(recipe, text, rng, self.settings.max_restarts, lambda: len(chosen()) >= self.n)
        recipe.attack.clear_cache(recursive=False)
        texts = chosen()
        if len(texts) >= self.n:
            return texts, None
        queries = f"{rewards.count - before} reward queries (at most {self.settings.max_queries})"
        return texts, f"{len(texts)} of {self.n}: no more texts beat the golden response within {queries}"


def _impossible(item: dict[str, str]) -> str | None:
    from ._recipes import SPLIT_TOKEN

    worse = item["worse_response"]
    if worse is None:
        return "there is no worse response, all answers have the same score"
    if not worse.strip():
        return "the worse response is empty"
    if SPLIT_TOKEN in worse:
        return f"the worse response contains {SPLIT_TOKEN}, which TextAttack reserves"
    return None
