"""Is SEAM true? What the study's other findings say of the paper's claims, at the front of the report."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ._finding_node import finding_node
from ._node import Inputs, Node, Step

if TYPE_CHECKING:
    from ..findings import Finding

CLAIMED = (
    "truth", "preference_match", "less_is_more", "selection_methods", "filter_rates", "quality_surface",
    "cross_validation", "augmentation", "base_sizes", "cycles", "candidate_likelihoods", "seamlessness",
)  # fmt: skip
"""Findings that a claim is about."""


def verdict_node(found: Iterable[str]) -> Node:
    """The finding `verdict`, of those findings of the study that a claim is about."""
    present = set(found)
    deps = tuple(name for name in CLAIMED if name in present)

    def compute(step: Step, inputs: Inputs) -> "Finding":
        from ..findings.verdict import verdict

        return verdict({name: inputs[name]["numbers"] for name in deps}, step.experiment.scoring.form)

    return finding_node("verdict", compute, deps, lambda e: (e.scoring.form,))
