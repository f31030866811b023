"""The experiment file: schema, loading, and the shipped experiments."""

from ._augmentation import Augmentation
from ._base_sizes import BaseSizes
from ._cross_validation import CrossValidation
from ._cycles import Cycles
from ._data import FileData, Splits, TestbedData
from ._filter_rates import FilterRates
from ._findings import Findings
from ._load import fingerprint, load_experiment, parse_experiment, shipped
from ._models import SFT, BaseModelSettings, Lora, PolicyLadder, RewardLadder, RewardTraining, Scratch
from ._preference import Preference
from ._rl import DPO, PPO, RL, Arm, Compute, Evaluation, GroupRL, Judge
from ._seam import (
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
    "PPO",
    "RL",
    "SFT",
    "VARIANT_OF_METHOD",
    "Adversarial",
    "Arm",
    "Augmentation",
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
    "GroupRL",
    "Judge",
    "LLMCandidates",
    "LLMEndpoint",
    "Lora",
    "Method",
    "PolicyLadder",
    "Preference",
    "RewardLadder",
    "RewardTraining",
    "Scoring",
    "Scratch",
    "Selection",
    "Splits",
    "TestbedData",
    "Variant",
    "fingerprint",
    "load_experiment",
    "parse_experiment",
    "shipped",
]
