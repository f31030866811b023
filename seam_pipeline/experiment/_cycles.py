"""Section 8: online RLHF as a series of offline cycles, SEAM at the start of each."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ._base import Settings
from ._seam import Method

if TYPE_CHECKING:
    from .schema import Experiment


class Cycles(Settings):
    """Section 8: online RLHF as a series of offline cycles, SEAM at the start of each.

    The best pair only. The cycles share the steps of RL: one offline run of as many steps is the arms' `full`.
    """

    cycles: int = Field(3, ge=2, description="Segments of the RL train instructions; one cycle each.")
    variant: Literal["contrast", "llm"] = Field(
        "contrast", description="Candidate set of the scores (an adversarial one would be attacked anew each cycle)."
    )
    seeds: tuple[int, ...] | None = Field(
        None,
        min_length=1,
        description="Seeds of RL, which `full` must have on the best pair too; null: those of `full`.",
    )
    answers: int = Field(
        2, ge=2, description="Answers per instruction that each new policy writes: the reward model's further pairs."
    )

    @property
    def seam(self) -> Method:
        """The SEAM method that selects."""
        return "seam_gpt" if self.variant == "llm" else "seam_contrast"

    @property
    def methods(self) -> tuple[Method, ...]:
        """The same cycles without SEAM, with it, and at random."""
        return ("full", self.seam, "random")


def cycle_seeds(e: "Experiment", cycles: Cycles) -> tuple[int, ...]:
    """As set, else those of `full` on the best pair. Raises ValueError where `full` has no such run."""
    full = e.runs.get("full", {}).get((1, 1))
    if full is None:
        raise ValueError("findings.cycles: compared with full, which no arm of rl.arms runs on [1, 1]")
    seeds = tuple(sorted(set(cycles.seeds or full)))
    missing = sorted(set(seeds) - set(full))
    if missing:
        raise ValueError(f"findings.cycles.seeds: {missing[0]} is not among the seeds {list(full)} of full on [1, 1]")
    return seeds


def cycle_steps(e: "Experiment", cycles: Cycles, number: int) -> int:
    """RL steps of cycle `number` (from 1): equal shares, which add up to the steps of an offline run."""
    steps = (e.rl.ppo if e.rl.algorithm == "ppo" else e.rl.group).steps
    return steps * number // cycles.cycles - steps * (number - 1) // cycles.cycles


def check_cycles(e: "Experiment") -> None:
    """Raises ValueError for cycles that cannot be run or compared."""
    cycles = e.findings.cycles
    if cycles is None:
        return
    cycle_seeds(e, cycles)
    if cycles.variant not in e.candidates.variants:
        raise ValueError(f"findings.cycles.variant: {cycles.variant} needs candidates.{cycles.variant}, which is null")
    if cycle_steps(e, cycles, 1) < 1:
        raise ValueError(f"findings.cycles.cycles: {cycles.cycles} cycles share fewer steps of RL than that")
