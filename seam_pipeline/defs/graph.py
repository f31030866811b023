"""The whole graph of an experiment, in the order of the study."""

from ..experiment import Experiment
from . import baselines, candidates, data, findings, models, rl, scores
from ._study import Study


def build_study(experiment: Experiment) -> Study:
    """All nodes of an experiment."""
    domains = (data, models, candidates, scores, baselines, rl, findings)
    nodes = [node for domain in domains for node in domain.nodes(experiment)]
    return Study(experiment, {node.name: node for node in nodes})
