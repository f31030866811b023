"""Dagster's partitions of the study's axes."""

import dagster as dg

from ..experiment import Experiment
from ._node import Axis


def partitions_of(experiment: Experiment, axis: Axis) -> dg.PartitionsDefinition | None:
    """One partition per quality rank; the grid has both dimensions."""
    pms = dg.StaticPartitionsDefinition([f"pm{r:02d}" for r in range(1, len(experiment.policy.ranks) + 1)])
    rms = dg.StaticPartitionsDefinition([f"rm{r:02d}" for r in range(1, len(experiment.reward.ranks) + 1)])
    grid = dg.MultiPartitionsDefinition({"pm": pms, "rm": rms})
    return {"one": None, "pm": pms, "rm": rms, "grid": grid}[axis]
