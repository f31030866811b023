"""Findings whose RL runs are compared with the arms' `full`: what they run, and whether they can."""

from typing import TYPE_CHECKING

from ._augmentation import Augmentation, AugmentationMethod
from ._filter_rates import FilterRates
from ._seam import VARIANT_OF_METHOD, Method

if TYPE_CHECKING:
    from .schema import Cell, Experiment


def check_against_full(e: "Experiment") -> None:
    """Raises ValueError for a filter rate or an augmentation that nothing can be compared with."""
    rates, augmentation = e.findings.filter_rates, e.findings.augmentation
    if rates is not None:
        seeds_of_finding(e, rates)
        _has_variant(e, "findings.filter_rates.method", filter_method(e, rates))
    if augmentation is not None:
        seeds_of_finding(e, augmentation)
        for method in augmentation_methods(e, augmentation):
            _has_variant(e, "findings.augmentation.methods", method)


def seeds_of_finding(e: "Experiment", finding: FilterRates | Augmentation) -> "dict[Cell, tuple[int, ...]]":
    """Seeds of RL by cell: as set, else those of `full`. Raises ValueError where `full` has no such run."""
    key = "findings.filter_rates" if isinstance(finding, FilterRates) else "findings.augmentation"
    found = {}
    for cell in finding.cells:
        full = e.runs.get("full", {}).get(cell)
        if full is None:
            raise ValueError(f"{key}.cells: {list(cell)} is compared with full, which no arm of rl.arms runs there")
        found[cell] = tuple(sorted(set(finding.seeds or full)))
        missing = sorted(set(found[cell]) - set(full))
        if missing:
            raise ValueError(f"{key}.seeds: {missing[0]} is not among the seeds {list(full)} of full on {list(cell)}")
    return found


def filter_method(e: "Experiment", rates: FilterRates) -> Method:
    """The SEAM method that leaves out. Raises ValueError when it is not given and no arm has one."""
    if rates.method is not None:
        return rates.method
    found = next((method for method in e.methods if method in VARIANT_OF_METHOD), None)
    if found is None:
        raise ValueError("findings.filter_rates.method: name a SEAM method, since no arm of rl.arms has one")
    return found


def augmentation_methods(e: "Experiment", augmentation: Augmentation) -> tuple[AugmentationMethod, ...]:
    """As set, each once; else the arms' SEAM methods, random and full_aug."""
    if augmentation.methods is not None:
        return tuple(dict.fromkeys(augmentation.methods))
    return (*(m for m in e.methods if m in ("seam_gpt", "seam_contrast", "seam_adv")), "random", "full_aug")


def _has_variant(e: "Experiment", key: str, method: str) -> None:
    variant = VARIANT_OF_METHOD.get(method)
    if variant is not None and variant not in e.candidates.variants:
        raise ValueError(f"{key}: {method} needs candidates.{variant}, which is null")
