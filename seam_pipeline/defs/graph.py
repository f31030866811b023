"""The whole graph of an experiment, in the order of the study."""

from ..experiment import Experiment
from . import (
    augmentation,
    base_sizes,
    baselines,
    candidates,
    cross_validation,
    cycles,
    data,
    dpo,
    filter_rates,
    findings,
    models,
    preference,
    rl,
    scores,
)
from ._finding_node import GROUP
from ._report import report_node
from ._study import Study
from ._verdict import verdict_node

CORE = (data, models, candidates, scores, baselines, rl, dpo, findings)
FURTHER = (cross_validation, preference, filter_rates, augmentation, base_sizes, cycles)


def build_study(experiment: Experiment) -> Study:
    """All nodes of an experiment."""
    nodes = [node for domain in (*CORE, *FURTHER) for node in domain.nodes(experiment)]
    nodes.append(verdict_node(node.name for node in nodes if node.group == GROUP))
    nodes.append(report_node(node.name for node in nodes if node.group == GROUP))
    return Study(experiment, {node.name: node for node in nodes})
