"""The experiment file: one frozen object that configures a whole study."""

from pydantic import Field, model_validator

from ._base import Settings
from ._data import DataSettings
from ._findings import Findings
from ._models import BaseModelSettings, PolicyLadder, RewardLadder
from ._rl import RL, Compute, Evaluation, Judge
from ._seam import VARIANT_OF_METHOD, Candidates, Method, Scoring, Selection

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
        return self

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
