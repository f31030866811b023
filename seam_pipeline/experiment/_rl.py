"""RL, judges and evaluation."""

from typing import Literal

from pydantic import Field, model_validator

from ._base import Settings
from ._models import Lora
from ._seam import LLMEndpoint, Method


class PPO(Settings):
    """Proximal policy optimisation on stacked adapters (training/ppo.py)."""

    steps: int = Field(200, ge=1, description="PPO steps: one rollout batch and its updates each.")
    batch_size: int = Field(32, ge=1, description="Prompts per step.")
    minibatch_size: int = Field(32, ge=1, description="Rollouts per optimizer step; divides batch_size.")
    gradient_accumulation: int = Field(1, ge=1, description="Micro-batches per minibatch; same gradient, less memory.")
    epochs: int = Field(4, ge=1, description="Passes over each rollout batch.")
    learning_rate: float = Field(1.4e-5, gt=0, description="AdamW, policy adapter and value head.")
    value_learning_rate: float | None = Field(None, gt=0, description="Value head's own rate.")
    clip: float = Field(0.2, gt=0, description="Ratio clip of the policy loss.")
    value_clip: float = Field(0.2, gt=0, description="Clip of the value loss.")
    value_coefficient: float = Field(0.1, ge=0, description="Weight of the value loss.")
    gamma: float = Field(1.0, gt=0, le=1, description="Discount.")
    lam: float = Field(0.95, ge=0, le=1, description="GAE lambda.")
    kl_coefficient: float = Field(0.2, ge=0, description="Initial weight of the per-token KL penalty.")
    kl_target: float | None = Field(6.0, gt=0, description="Adaptive controller's target per response; null is fixed.")
    kl_horizon: int = Field(10000, ge=1, description="Adaptive controller's horizon in episodes.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient norm clip.")
    min_new_tokens: int = Field(32, ge=1, description="Shortest sampled response length.")
    max_new_tokens: int = Field(128, ge=1, description="Longest sampled response length.")
    temperature: float = Field(1.0, gt=0, description="Rollout temperature.")
    max_prompt_tokens: int = Field(512, ge=1, description="Longer prompts are left out and counted.")
    checkpoint_every: int = Field(50, ge=1, description="Steps between checkpoints.")
    lora: Lora = Field(Lora(r=16, alpha=32), description="Adapter.")

    @model_validator(mode="after")
    def _sizes(self) -> "PPO":
        if self.batch_size % self.minibatch_size:
            raise ValueError("minibatch_size must divide batch_size")
        if self.minibatch_size % self.gradient_accumulation:
            raise ValueError("gradient_accumulation must divide minibatch_size")
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError("min_new_tokens must not exceed max_new_tokens")
        return self


class Arm(Settings):
    """Cells and seeds that some methods really run."""

    methods: tuple[Method, ...] = Field(min_length=1, description="Selection methods.")
    cells: Literal["all", "diagonal"] | tuple[tuple[int, int], ...] = Field(
        description="`all`, `diagonal` or [policy rank, reward rank] pairs."
    )
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="Seeds of PPO.")


class RL(Settings):
    """What is run on the selected instructions."""

    algorithm: Literal["ppo"] = Field("ppo", description="RL algorithm.")
    ppo: PPO = Field(PPO(), description="PPO's settings.")
    arms: tuple[Arm, ...] = Field(min_length=1, description="Which method runs on which cells with which seeds.")


class Judge(Settings):
    """Who rates answers from 1 to 10."""

    kind: Literal["gold", "openai", "reference"] = Field(
        description="`gold`: the testbed's truth. `openai`: a judge LLM. `reference`: similarity to the golden "
        "answer, a proxy and named so wherever its numbers are shown."
    )
    endpoint: LLMEndpoint | None = Field(None, description="Needed by `openai`.")
    template: str | None = Field(None, description="Judge prompt file instead of the shipped one.")

    @model_validator(mode="after")
    def _endpoint(self) -> "Judge":
        if self.kind == "openai" and self.endpoint is None:
            raise ValueError("kind openai needs an endpoint")
        return self


class Evaluation(Settings):
    """How policies are judged: answers to held-out test questions of the RL segment."""

    questions: int = Field(1000, ge=1, description="Test questions (the first by hash of the id).")
    max_new_tokens: int = Field(128, ge=1, description="Longest answer.")
    temperature: float = Field(0.0, ge=0, description="0 is greedy.")
    batch_size: int = Field(64, ge=1, description="Answers generated at once (speed only).")


class Compute(Settings):
    """Where it runs; none of this changes what is cached."""

    device: str = Field("auto", description="`auto`, `cpu`, `cuda` or `cuda:N`.")
    threads: int | None = Field(None, ge=1, description="Torch threads; all cores when absent.")
