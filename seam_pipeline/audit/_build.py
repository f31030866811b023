"""The stages of one audit: candidate sets, rewards, likelihoods, each model in memory once and only when needed."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

import pyarrow as pa

from .. import __version__
from ..errors import SeamError
from ..llm.usage import Usage
from ..models.content import model_content
from ..models.stack import Policy, RewardModel, load_policy, load_reward
from ..progress import Progress
from ..rowcache import RowCache
from ..scoring.items import items_of
from ..scoring.likelihood import score_likelihoods
from ..scoring.reuse import Reuse
from ..scoring.reward import score_rewards
from ._prompts import Prompts
from ._stages import Stages, content, stamp
from .settings import AuditSettings

WORK = ".work"
VECTORS = f"{WORK}/vectors"
M = TypeVar("M")


@dataclass
class Build:
    """What the stages share; `policy` and `reward` are paths or hub ids."""

    prompts: Prompts
    pool: pa.Table | None
    policy: str
    reward: str
    settings: AuditSettings
    device: str
    stages: Stages
    cache: RowCache
    found: dict[str, "VariantTables"] = field(default_factory=dict)
    usage: Usage | None = None
    """What the llm variant's requests cost."""

    def run(self) -> dict[str, "VariantTables"]:
        """Candidates, rewards and likelihoods of every variant, in the settings' order."""
        variants = self.settings.variants
        if "contrast" in variants:
            self.found["contrast"] = VariantTables(self._contrast())
        if "llm" in variants:
            self.found["llm"] = VariantTables(self._llm())
        reward = _Lazy(lambda: load_reward(self.reward, self.device, self.settings.load_in))
        if "adversarial" in variants:
            self.found["adversarial"] = VariantTables(self._adversarial(reward))
        for variant in variants:
            self.found[variant].rewards = self._rewards(variant, reward)
        del reward  # one model in memory at a time
        policy = _Lazy(lambda: load_policy(self.policy, self.device, self.settings.load_in))
        for variant in variants:
            self.found[variant].likelihoods = self._likelihoods(variant, policy)
        return {variant: self.found[variant] for variant in variants}

    @cached_property
    def rows_content(self) -> str:
        """Hash of the prompts as used."""
        return content(self.prompts.table)

    @cached_property
    def reward_content(self) -> list[Any]:
        """What the rewards depend on, apart from the texts."""
        return [model_content(self.reward), self.settings.load_in]

    @cached_property
    def policy_content(self) -> list[Any]:
        """What the likelihoods depend on, apart from the texts."""
        cuts = self.settings.scoring.model_dump(include={"max_prompt_tokens", "max_response_tokens"})
        return [model_content(self.policy), self.settings.load_in, cuts]

    def _contrast(self) -> pa.Table:
        from ..candidates.contrast import contrast_candidates

        name, rows, settings = "contrast/candidates", self.prompts.table, self.settings
        own = rows.select(["id", "instruction", "golden_response"])
        pool = own if self.pool is None else pa.concat_tables([own, self.pool])
        band = settings.contrast.model_dump(mode="json", exclude={"processes"})
        return self.stages.table(
            name,
            stamp(name, __version__, self.rows_content, content(pool), band, settings.n),
            lambda progress: contrast_candidates(
                rows,
                pool,
                settings.contrast,
                settings.n,
                progress,
                device=self.device,
                cache=self.stages.folder / VECTORS,
            ),
        )

    def _llm(self) -> pa.Table:
        """Always asked for anew: known replies cost nothing, and rows that failed before get another try."""
        from ..candidates.llm import llm_candidates

        if self.settings.llm is None:
            raise SeamError("The llm variant needs an endpoint.")
        name = "llm/candidates"
        progress = self.stages.watch.begin(name)
        replies = self.stages.folder / WORK / "llm_replies.sqlite"
        found = llm_candidates(
            self.prompts.table, self.settings.llm, self.settings.n, self.settings.seed,
            cache_path=replies, progress=progress, used=self._used,
        )  # fmt: skip
        return self.stages.kept(name, stamp(name, content(found)), lambda: found)

    def _used(self, usage: Usage) -> None:
        self.usage = usage

    def _adversarial(self, reward: "_Lazy[RewardModel]") -> pa.Table:
        from ..candidates._attacks import Attacks
        from ..candidates.adversarial import adversarial_candidates

        name, rows, settings = "adversarial/candidates", self.prompts.table, self.settings
        attack = settings.adversarial.model_dump(mode="json")
        key = stamp(name, __version__, self.rows_content, self.reward_content, attack, settings.n, settings.seed)

        def make(progress: Progress) -> pa.Table:
            attacks = Attacks(self.cache, f"{self.reward_content[0]} {settings.load_in}")
            return adversarial_candidates(
                rows, reward.model, settings.adversarial, settings.n, settings.seed, progress, attacks
            )

        return self.stages.table(name, key, make)

    def _rewards(self, variant: str, reward: "_Lazy[RewardModel]") -> pa.Table:
        name, candidates = f"{variant}/rewards", self.found[variant].candidates
        key = stamp(name, __version__, self.rows_content, self.found[variant].content, self.reward_content)

        def make(progress: Progress) -> pa.Table:
            items = items_of(self.prompts.table, candidates, golden=True)
            reuse = Reuse(self.cache, self.reward_content[0], reward.model.model)
            return score_rewards(reward.model, items, self.settings.scoring, progress, reuse=reuse)

        return self.stages.table(name, key, make)

    def _likelihoods(self, variant: str, policy: "_Lazy[Policy]") -> pa.Table:
        name, candidates = f"{variant}/likelihoods", self.found[variant].candidates
        key = stamp(name, __version__, self.rows_content, self.found[variant].content, self.policy_content)

        def make(progress: Progress) -> pa.Table:
            items = items_of(self.prompts.table, candidates)
            reuse = Reuse(self.cache, self.policy_content[0], policy.model.model)
            return score_likelihoods(policy.model, items, self.settings.scoring, progress, reuse=reuse)

        return self.stages.table(name, key, make)


@dataclass
class VariantTables:
    """CANDIDATES, REWARDS and LIKELIHOODS of one variant."""

    candidates: pa.Table
    rewards: pa.Table = None
    likelihoods: pa.Table = None

    @cached_property
    def content(self) -> str:
        """Hash of the candidates."""
        return content(self.candidates)


class _Lazy(Generic[M]):
    """A model that is loaded at its first use."""

    def __init__(self, load: Callable[[], M]) -> None:
        self._load = load

    @cached_property
    def model(self) -> M:
        """The loaded model."""
        return self._load()
