"""Fig. 4: two policies answer the RL instructions; does the reward model prefer what people prefer?"""

from ..experiment import Experiment
from ._node import Node


def nodes(experiment: Experiment) -> list[Node]:
    """The assets and the finding; none where `findings.preference` is null."""
    settings = experiment.findings.preference
    return [] if settings is None else []
