"""The experiment file: schema, loading, and the shipped experiments."""

from ._against_full import augmentation_methods, filter_method, seeds_of_finding
from ._augmentation import Augmentation, AugmentationMethod
from ._base_sizes import BaseSizes, FurtherBase, on_base
from ._cluster import Resources
from ._cross_validation import CrossValidation
from ._cycles import Cycles, cycle_seeds, cycle_steps
from ._data import FileData, Splits, TestbedData
from ._filter_rates import FilterRates
from ._findings import Findings
from ._load import fingerprint, load_experiment, parse_experiment, shipped
from ._models import SFT, BaseModelSettings, Lora, PolicyLadder, RewardLadder, RewardTraining, Scratch
from ._preference import Preference
from ._rl import DPO, PPO, RL, Arm, Compute, Evaluation, GroupRL, Judge, Throughput
from ._seam import (
    MATCHED,
    VARIANT_OF_METHOD,
    Adversarial,
    Candidates,
    Contrast,
    Form,
    LLMCandidates,
    LLMEndpoint,
    Method,
    Scoring,
    Selection,
    Variant,
)
from .schema import Cell, Experiment

__all__ = [
    "DPO",
    "MATCHED",
    "PPO",
    "RL",
    "SFT",
    "VARIANT_OF_METHOD",
    "Adversarial",
    "Arm",
    "Augmentation",
    "AugmentationMethod",
    "BaseModelSettings",
    "BaseSizes",
    "Candidates",
    "Cell",
    "Compute",
    "Contrast",
    "CrossValidation",
    "Cycles",
    "Evaluation",
    "Experiment",
    "FileData",
    "FilterRates",
    "Findings",
    "Form",
    "FurtherBase",
    "GroupRL",
    "Judge",
    "LLMCandidates",
    "LLMEndpoint",
    "Lora",
    "Method",
    "PolicyLadder",
    "Preference",
    "Resources",
    "RewardLadder",
    "RewardTraining",
    "Scoring",
    "Scratch",
    "Selection",
    "Splits",
    "TestbedData",
    "Throughput",
    "Variant",
    "augmentation_methods",
    "cycle_seeds",
    "cycle_steps",
    "filter_method",
    "fingerprint",
    "load_experiment",
    "on_base",
    "parse_experiment",
    "seeds_of_finding",
    "shipped",
]
