"""Fig. 8: RL after leaving out smaller and larger shares of the instructions."""

from ..experiment import Experiment
from ._node import Node


def nodes(experiment: Experiment) -> list[Node]:
    """The assets and the finding; none where `findings.filter_rates` is null."""
    settings = experiment.findings.filter_rates
    return [] if settings is None else []
