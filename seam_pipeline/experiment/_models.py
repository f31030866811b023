"""The base model and the two ladders of quality ranks."""

from typing import Literal

from pydantic import Field, model_validator

from ._base import Settings


class Lora(Settings):
    """A LoRA adapter's shape."""

    r: int = Field(8, ge=1, description="Rank of the update.")
    alpha: float = Field(16, gt=0, description="Scale numerator.")
    dropout: float = Field(0.05, ge=0, lt=1, description="Dropout on the adapter's input.")
    target_modules: tuple[str, ...] = Field(("q_proj", "v_proj"), description="Linear layers that get an adapter.")


class Scratch(Settings):
    """A small LLaMA and its tokenizer trained from scratch when no base model is given."""

    vocab_size: int = Field(1024, ge=260, description="Byte-level BPE vocabulary.")
    hidden_size: int = Field(128, ge=16, description="Width.")
    intermediate_size: int = Field(384, ge=16, description="Width of the feed-forward layers.")
    layers: int = Field(4, ge=1, description="Decoder layers.")
    heads: int = Field(4, ge=1, description="Attention heads.")
    max_length: int = Field(256, ge=16, description="Longest sequence in tokens.")
    steps: int = Field(600, ge=1, description="Optimizer steps of pretraining.")
    batch_size: int = Field(32, ge=1, description="Sequences per step.")
    block_size: int = Field(128, ge=16, description="Tokens per pretraining sequence.")
    learning_rate: float = Field(3e-3, gt=0, description="Peak learning rate, cosine decay after warm-up.")


class BaseModelSettings(Settings):
    """Exactly one of a given model and a model trained from scratch."""

    path: str | None = Field(None, description="Local folder or hub id of a causal language model.")
    revision: str | None = Field(None, description="Commit of the hub model.")
    dtype: Literal["float32", "bfloat16"] = Field("float32", description="Weights' precision.")
    scratch: Scratch | None = Field(None, description="Train a small model instead; needs no hub.")

    @model_validator(mode="after")
    def _one(self) -> "BaseModelSettings":
        if (self.path is None) == (self.scratch is None):
            raise ValueError("give exactly one of path and scratch")
        return self


class SFT(Settings):
    """Supervised fine-tuning of the policy (TRL SFTTrainer)."""

    unit: Literal["examples", "steps"] = Field("examples", description="What a rank's number counts.")
    epochs: int = Field(1, ge=1, description="Passes over the rank's examples (unit: examples).")
    min_steps: int = Field(0, ge=0, description="Small ranks repeat their examples until so many steps are made.")
    batch_size: int = Field(16, ge=1, description="Examples per optimizer step.")
    gradient_accumulation: int = Field(1, ge=1, description="Micro-batches per optimizer step.")
    learning_rate: float = Field(1e-4, gt=0, description="AdamW.")
    warmup_steps: int = Field(10, ge=0, description="Linear warm-up.")
    max_length: int = Field(1024, ge=16, description="Tokens per example.")
    checkpoint_every: int = Field(100, ge=1, description="Steps between checkpoints: what a kill can cost.")
    lora: Lora = Field(Lora(), description="Adapter.")


class RewardTraining(Settings):
    """Reward modelling on pairs, -log sigmoid(R(chosen) - R(rejected)) (TRL RewardTrainer)."""

    epochs: int = Field(1, ge=1, description="Passes over the rank's pairs.")
    min_steps: int = Field(0, ge=0, description="Small ranks repeat their pairs until so many steps are made.")
    batch_size: int = Field(16, ge=1, description="Pairs per optimizer step.")
    gradient_accumulation: int = Field(1, ge=1, description="Micro-batches per optimizer step.")
    learning_rate: float = Field(2e-5, gt=0, description="AdamW.")
    max_length: int = Field(1024, ge=16, description="Tokens per text.")
    eval_every: int | None = Field(None, ge=1, description="Steps between dev losses; null trains all steps.")
    patience: int = Field(3, ge=1, description="Dev losses without a new best one that end training.")
    checkpoint_every: int = Field(100, ge=1, description="Steps between checkpoints: what a kill can cost.")
    lora: Lora = Field(Lora(alpha=32, dropout=0.1), description="Adapter.")


class PolicyLadder(Settings):
    """Policies by quality rank; rank 1 first."""

    ranks: tuple[int, ...] = Field(min_length=1, description="SFT examples (or steps) per rank; 0 is the base model.")
    sft: SFT = Field(SFT(), description="How each rank is trained.")


class RewardLadder(Settings):
    """Reward models by quality rank; rank k starts from policy rank k."""

    ranks: tuple[int, ...] = Field(min_length=1, description="Preference pairs per rank; 0 is a random head.")
    training: RewardTraining = Field(RewardTraining(), description="How each rank is trained.")
