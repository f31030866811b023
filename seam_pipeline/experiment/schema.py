"""The experiment file: one frozen object that configures a whole study."""

from pydantic import Field, model_validator

from ._against_full import check_against_full
from ._base import Settings
from ._base_sizes import check_base_sizes
from ._cycles import check_cycles
from ._data import DataSettings
from ._findings import Findings
from ._models import BaseModelSettings, PolicyLadder, RewardLadder
from ._rl import RL, Compute, Evaluation, Judge
from ._seam import MATCHED, VARIANT_OF_METHOD, Candidates, Method, Scoring, Selection
from ._trainings import check_trainings

Cell = tuple[int, int]
"""(policy rank, reward-model rank), both from 1."""


class Experiment(Settings):
    """A study: models, data, candidate sets, selection methods, RL arms and judge."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", description="Names the store folder and the asset prefix.")
    description: str = Field("", description="One paragraph for the report: question, hardware, time, command.")
    seed: int = Field(0, ge=0, description="Seed of every training step; PPO's seeds are in the arms.")
    data: DataSettings = Field(description="Posts.")
    base: BaseModelSettings = Field(description="Base language model.")
    policy: PolicyLadder = Field(description="Policy ladder.")
    reward: RewardLadder = Field(description="Reward ladder.")
    candidates: Candidates = Field(Candidates(), description="Candidate sets.")
    scoring: Scoring = Field(Scoring(), description="Scoring.")
    selection: Selection = Field(Selection(), description="Selection.")
    rl: RL = Field(description="RL.")
    judge: Judge = Field(description="Judge.")
    evaluation: Evaluation = Field(Evaluation(), description="Evaluation.")
    findings: Findings = Field(Findings(), description="Findings with trainings of their own.")
    compute: Compute = Field(Compute(), description="Compute.")

    @model_validator(mode="after")
    def _possible(self) -> "Experiment":
        if self.compute.fsdp and self.compute.launcher != "accelerate":
            raise ValueError("compute.fsdp divides the base among processes; set compute.launcher to accelerate")
        if len(self.reward.ranks) > len(self.policy.ranks):
            raise ValueError("reward.ranks: reward rank k starts from policy rank k, so there cannot be more of them")
        if self.data.source != "testbed":
            if self.judge.kind == "gold":
                raise ValueError("judge.kind: gold exists only on the testbed; use openai or reference")
            if self.candidates.llm is not None and self.candidates.llm.generator == "testbed":
                raise ValueError(
                    "candidates.llm.generator: testbed writes only about the testbed; use openai or llm: null"
                )
        for key, methods in (("rl.arms", self.methods), ("selection.compare", self.selection.compare)):
            for method in methods:
                variant = VARIANT_OF_METHOD.get(method)
                if variant is not None and variant not in self.candidates.variants:
                    raise ValueError(f"{key}: {method} needs candidates.{variant}, which is null")
        if "full" in self.selection.compare:
            raise ValueError("selection.compare: full filters nothing, so there is no score to compare; remove it")
        for name, cells in self.runs.items():
            for pm, rm in cells:
                if not (1 <= pm <= len(self.policy.ranks) and 1 <= rm <= len(self.reward.ranks)):
                    raise ValueError(f"rl.arms: {name} asks for cell [{pm}, {rm}], which is not on the ladders")
        self._preference_is_possible()
        check_against_full(self)
        check_cycles(self)
        check_base_sizes(self)
        check_trainings(self)
        crossed = self.findings.cross_validation
        if crossed is not None and crossed.ranks > len(self.reward.ranks):
            raise ValueError(
                f"findings.cross_validation.ranks: {crossed.ranks}, but both ladders together have only "
                f"{len(self.reward.ranks)}"
            )
        return self

    def _preference_is_possible(self) -> None:
        wanted = [method for method in (*self.methods, *self.selection.compare) if method in MATCHED]
        if any(method in MATCHED for method in self.selection.compare):
            raise ValueError(f"selection.compare: {wanted[0]} has no score to compare; run it in rl.arms")
        preference = self.findings.preference
        if preference is None:
            if wanted:
                raise ValueError(f"rl.arms: {wanted[0]} keeps what a preference agrees with; set findings.preference")
            return
        if max(preference.policies) > len(self.policy.ranks) or preference.reward > len(self.reward.ranks):
            raise ValueError(
                f"findings.preference: policies {list(preference.policies)} and reward {preference.reward} must be "
                f"ranks of the ladders ({len(self.policy.ranks)} policies, {len(self.reward.ranks)} reward models)"
            )
        if preference.source == "gold" and self.data.source != "testbed":
            raise ValueError("findings.preference.source: gold exists only on the testbed; use judge or annotations")

    @property
    def all_cells(self) -> tuple[Cell, ...]:
        """The whole grid, row by row."""
        return tuple((p, r) for p in range(1, len(self.policy.ranks) + 1) for r in range(1, len(self.reward.ranks) + 1))

    @property
    def methods(self) -> tuple[Method, ...]:
        """Methods of the arms, each once, in the order of first mention."""
        return tuple(dict.fromkeys(m for arm in self.rl.arms for m in arm.methods))

    @property
    def selections(self) -> dict[Method, tuple[Cell, ...]]:
        """Cells on which each method selects: those of the arms, and the best pair for `selection.compare`."""
        found: dict[Method, tuple[Cell, ...]] = {method: tuple(self.runs[method]) for method in self.methods}
        for method in self.selection.compare:
            found[method] = tuple(dict.fromkeys((*found.get(method, ()), (1, 1))))
        return found

    @property
    def runs(self) -> dict[str, dict[Cell, tuple[int, ...]]]:
        """Seeds per method and cell, united over the arms."""
        runs: dict[str, dict[Cell, tuple[int, ...]]] = {}
        for arm in self.rl.arms:
            for method in arm.methods:
                for cell in self._cells_of(arm.cells):
                    seeds = runs.setdefault(method, {}).setdefault(cell, ())
                    runs[method][cell] = tuple(sorted({*seeds, *arm.seeds}))
        return runs

    def _cells_of(self, cells: str | tuple[Cell, ...]) -> tuple[Cell, ...]:
        if cells == "all":
            return self.all_cells
        if cells == "diagonal":
            return tuple((r, r) for r in range(1, len(self.reward.ranks) + 1))
        assert not isinstance(cells, str)
        return cells
