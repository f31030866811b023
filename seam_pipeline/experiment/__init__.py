"""The experiment file: schema, loading, and the shipped experiments."""

from ._data import FileData, Splits, TestbedData
from ._load import fingerprint, load_experiment, parse_experiment, shipped
from ._models import SFT, BaseModelSettings, Lora, PolicyLadder, RewardLadder, RewardTraining, Scratch
from ._rl import PPO, RL, Arm, Compute, Evaluation, Judge
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
