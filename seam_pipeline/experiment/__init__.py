"""The experiment file: schema, loading, and the shipped experiments."""

from ._data import FileData, Splits, TestbedData
from ._load import fingerprint, load_experiment, parse_experiment, shipped
from ._models import SFT, BaseModelSettings, Lora, PolicyLadder, RewardLadder, RewardTraining, Scratch
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
    "BaseModelSettings",
    "Candidates",
    "Cell",
    "Compute",
    "Contrast",
    "Evaluation",
    "Experiment",
    "FileData",
    "Form",
    "GroupRL",
    "Judge",
    "LLMCandidates",
    "LLMEndpoint",
    "Lora",
    "Method",
    "PolicyLadder",
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
