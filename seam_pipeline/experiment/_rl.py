"""RL, judges and evaluation."""

from typing import Literal

from pydantic import Field, model_validator

from ._base import Settings
from ._cluster import Resources
from ._models import Lora
from ._seam import LLMEndpoint, Method


class PPO(Settings):
    """Proximal policy optimisation on stacked adapters (training/ppo.py)."""

    steps: int = Field(200, ge=1, description="PPO steps: one rollout batch and its updates each.")
    batch_size: int = Field(32, ge=1, description="Prompts per step.")
    minibatch_size: int = Field(32, ge=1, description="Rollouts per optimizer step; divides batch_size.")
    gradient_accumulation: int = Field(1, ge=1, description="Micro-batches per minibatch; same gradient, less memory.")
    gradient_checkpointing: bool = Field(False, description="Recompute layers backwards; same gradient, less memory.")
    dtype: Literal["float32", "bfloat16", "4bit", "8bit"] | None = Field(
        None,
        description="Precision of the frozen base; null is the checkpoint's own. 4bit and 8bit need bitsandbytes. "
        "Adapters and value head are float32 throughout.",
    )
    epochs: int = Field(4, ge=1, description="Passes over each rollout batch.")
    target_kl: float | None = Field(
        None,
        gt=0,
        description="A step's epochs end before an update where approx_kl (nats per token) is over 1.5 times this.",
    )
    learning_rate: float = Field(1.4e-5, gt=0, description="AdamW, policy adapter and value head.")
    value_learning_rate: float | None = Field(None, gt=0, description="Value head's own rate.")
    clip: float = Field(0.2, gt=0, description="Ratio clip of the policy loss.")
    value_clip: float = Field(0.2, gt=0, description="Clip of the value loss.")
    value_coefficient: float = Field(0.1, ge=0, description="Weight of the value loss.")
    entropy_coefficient: float = Field(0.0, ge=0, description="Weight of the bonus for the tokens' mean entropy.")
    gamma: float = Field(1.0, gt=0, le=1, description="Discount.")
    lam: float = Field(0.95, ge=0, le=1, description="GAE lambda.")
    kl_coefficient: float = Field(0.2, ge=0, description="Initial weight of the per-token KL penalty.")
    kl_target: float | None = Field(6.0, gt=0, description="Adaptive controller's target per response; null is fixed.")
    kl_horizon: int = Field(10000, ge=1, description="Adaptive controller's horizon in episodes.")
    kl_estimator: Literal["k1", "k2", "k3"] = Field(
        "k1", description="Per-token KL of the penalty: k1 unbiased, k2 never negative but biased, k3 both good."
    )
    max_kl: float | None = Field(
        1000.0, gt=0, description="Mean KL per response (nats) over which a run has diverged and stops; null: never."
    )
    reward_whiten: Literal["batch", "running"] | None = Field(
        None,
        description="Rewards less their mean, over their standard deviation: of the step's batch, or of all so far.",
    )
    reward_clip: float | None = Field(None, gt=0, description="Rewards are kept within +- this, after whitening.")
    missing_eos_penalty: float = Field(
        0.0, ge=0, description="Taken from the reward, after clipping, of a response cut before its end token."
    )
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


class GroupRL(Settings):
    """RLOO and GRPO (TRL's trainers): several answers per prompt, their own mean reward is the baseline."""

    steps: int = Field(200, ge=1, description="Optimizer steps; `epochs` of them share one batch of answers.")
    batch_size: int = Field(32, ge=2, description="Answers per step.")
    generations: int = Field(4, ge=2, description="Answers per prompt; divides batch_size / gradient_accumulation.")
    gradient_accumulation: int = Field(1, ge=1, description="Micro-batches per step.")
    epochs: int = Field(1, ge=1, description="Passes over each batch of answers.")
    learning_rate: float = Field(1.4e-5, gt=0, description="AdamW.")
    kl_coefficient: float = Field(0.05, ge=0, description="Weight of the KL to the SFT policy.")
    clip: float = Field(0.2, gt=0, description="Ratio clip.")
    max_grad_norm: float = Field(1.0, gt=0, description="Gradient norm clip.")
    max_new_tokens: int = Field(128, ge=1, description="Longest answer.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature.")
    max_prompt_tokens: int = Field(512, ge=1, description="Longer prompts are left out and counted.")
    checkpoint_every: int = Field(50, ge=1, description="Steps between checkpoints: what a kill can cost.")
    lora: Lora = Field(Lora(r=16, alpha=32), description="Adapter.")

    @model_validator(mode="after")
    def _sizes(self) -> "GroupRL":
        if self.batch_size % (self.gradient_accumulation * self.generations):
            raise ValueError("gradient_accumulation x generations must divide batch_size")
        return self


class DPO(Settings):
    """Direct preference optimisation (TRL's trainer) on preference pairs: the reference without RL."""

    pairs: int | None = Field(None, ge=1, description="How many train pairs; all when absent.")
    epochs: int = Field(1, ge=1, description="Passes over the pairs.")
    batch_size: int = Field(32, ge=1, description="Pairs per step.")
    gradient_accumulation: int = Field(1, ge=1, description="Micro-batches per step.")
    learning_rate: float = Field(1e-5, gt=0, description="AdamW, linear decay.")
    beta: float = Field(0.1, gt=0, description="Inverse temperature of the implicit reward.")
    max_length: int = Field(1024, ge=16, description="Tokens per text; longer ones are cut on the right.")
    checkpoint_every: int = Field(50, ge=1, description="Steps between checkpoints: what a kill can cost.")
    lora: Lora = Field(Lora(r=16, alpha=32), description="Adapter.")


class Arm(Settings):
    """Cells and seeds that some methods really run."""

    methods: tuple[Method, ...] = Field(min_length=1, description="Selection methods.")
    cells: Literal["all", "diagonal"] | tuple[tuple[int, int], ...] = Field(
        description="`all`, `diagonal` or [policy rank, reward rank] pairs."
    )
    seeds: tuple[int, ...] = Field((0,), min_length=1, description="Seeds of PPO.")


class RL(Settings):
    """What is run on the selected instructions."""

    algorithm: Literal["ppo", "rloo", "grpo"] = Field("ppo", description="PPO is ours; RLOO and GRPO are TRL's.")
    ppo: PPO = Field(PPO(), description="PPO's settings.")
    group: GroupRL = Field(GroupRL(), description="Settings of RLOO and GRPO.")
    dpo: DPO | None = Field(None, description="Also tune each policy by DPO, without RL; null leaves it out.")
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
        if self.endpoint is not None and self.endpoint.temperature:
            raise ValueError(
                "endpoint.temperature must be 0 (or null, where the server takes none): a judge is asked at 0"
            )
        return self


class Evaluation(Settings):
    """How policies are judged: answers to held-out test questions of the RL segment."""

    questions: int = Field(1000, ge=1, description="Test questions (the first by hash of the id).")
    max_new_tokens: int = Field(128, ge=1, description="Longest answer.")
    temperature: float = Field(0.0, ge=0, description="0 is greedy.")
    batch_size: int = Field(64, ge=1, description="Answers generated at once (speed only).")


class Throughput(Settings):
    """Measured speeds of one device, for `seam plan`; what is absent comes from the store's records or is assumed."""

    device: str | None = Field(None, description="What was measured, in words; printed.")
    parameters: float | None = Field(
        None, gt=0, description="Parameters of the model measured; token rates are scaled to other sizes by it."
    )
    train_tokens_per_second: float | None = Field(None, gt=0, description="SFT, reward models, DPO: an adapter.")
    score_tokens_per_second: float | None = Field(None, gt=0, description="Forward passes: likelihoods, rewards.")
    generate_tokens_per_second: float | None = Field(None, gt=0, description="Answers, at `evaluation.batch_size`.")
    rl_steps_per_minute: float | None = Field(None, gt=0, description="Whole steps of `rl.algorithm`.")
    attack_queries_per_second: float | None = Field(None, gt=0, description="Reward queries of the attacks.")
    embed_texts_per_second: float | None = Field(None, gt=0, description="Texts through the sentence encoder.")
    llm_calls_per_minute: float | None = Field(None, gt=0, description="Answered requests, in direct mode.")


class Compute(Settings):
    """Where it runs; none of this changes what is cached."""

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="`auto`, `cpu`, `cuda` or `cuda:N`.")
    threads: int | None = Field(
        None,
        ge=1,
        description="Torch threads per process; when absent, the cores divided by a training's processes and by "
        "`concurrent_steps`.",
    )
    concurrent_steps: int = Field(
        1,
        ge=1,
        description="Steps that Dagster, or `seam run`, runs at once, each in a process of its own; 1: in one process.",
    )
    executor: Literal["local", "ray", "k8s"] = Field(
        "local", description="Where Dagster runs steps: this machine, a Ray or a Kubernetes cluster (docs/cluster.md)."
    )
    resources: dict[str, Resources] = Field(
        {},
        description="What a step takes of a cluster, by `heavy` (trains or scores a model), `light` (the others), "
        "asset, glob or `group:NAME`; the last entry that fits counts.",
    )
    launcher: Literal["in_process", "accelerate"] = Field(
        "in_process", description="Trainings in the step's process, or in several of their own (docs/scaling.md)."
    )
    processes: int | None = Field(
        None, ge=1, description="Processes of a training started by accelerate; absent: one per visible GPU."
    )
    accelerate_config: str | None = Field(
        None, description="A file written by `accelerate config`, e.g. for several machines; `processes` overrides its."
    )
    fsdp: bool = Field(
        False,
        description="Divide the frozen base among the processes of SFT, reward and PPO trainings, where one GPU cannot "
        "hold it (docs/scaling.md); needs launcher accelerate.",
    )
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = Field(
        (), description="Where running trainings also send their metrics; addresses are the trackers' own variables."
    )
    automation: Literal["off", "cheap", "all"] = Field(
        "off",
        description="What Dagster's daemon rebuilds by itself when it is out of date: nothing; what neither trains, "
        "scores nor asks a paid model; or everything (docs/automation.md).",
    )
    schedule: str | None = Field(
        None,
        pattern=r"^@(hourly|daily|weekly|monthly)$|^\s*\S+(\s+\S+){4}\s*$",
        description="Cron expression at which the daemon brings the study up to date, e.g. `@weekly`; absent: a weekly "
        "schedule is there but stopped.",
    )
    retries: int = Field(
        0, ge=0, description="Attempts after the first of a step that lost a connection, a disk or a worker."
    )
    throughput: tuple[Throughput, ...] = Field(
        (), description="Measured speeds that `seam plan` reckons with, an entry per model size; see docs/scaling.md."
    )
