"""RLOO and GRPO: TRL's trainers on the same policies, reward models and prompts as our PPO (SPEC.md, section 4)."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from ..errors import SeamError
from ..experiment import GroupRL
from ..models._tokens import prompt_ids
from ..models.content import model_content
from ..models.prompt import prompt_text
from ..progress import Progress, silent
from ._checkpoint import run_of
from ._parallel import join, pieces
from ._ppo_prompts import fitting
from ._ppo_reward import Scorer, separate_scorer
from ._trl import Recorder, common
from ._trl_adapter import Tuned
from ._trl_resume import Checkpoints, repeated
from .watch import Watch, unwatched

Algorithm = Literal["rloo", "grpo"]
TRAINERS: dict[str, tuple[Any, Any]] = {"rloo": (RLOOTrainer, RLOOConfig), "grpo": (GRPOTrainer, GRPOConfig)}
LOGGED = {
    "loss": "policy_loss",
    "reward": "reward_mean",
    "reward_std": "reward_std",
    "kl": "kl_per_token",
    "entropy": "entropy",
    "completions/mean_length": "response_length",
    "completions/clipped_ratio": "unended_fraction",
    "clip_ratio/region_mean": "clip_fraction",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "rewards/gold/mean": "gold_mean",
}
"""TRL's names to those of our PPO's metrics."""
COLUMNS = ("step", "episodes", *LOGGED.values(), "kl", "ended_fraction")
RECENT = 10


def train_group(
    algorithm: Algorithm,
    policy_folder: str | Path,
    reward_folder: str | Path,
    prompts: Sequence[str],
    settings: GroupRL,
    out: Path,
    seed: int,
    device: str | torch.device = "cpu",
    progress: Progress = silent,
    *,
    reward_fn: Scorer | None = None,
    gold_fn: Scorer | None = None,
    watch: Watch = unwatched,
) -> dict[str, Any]:
    """Train a LoRA adapter on top of a policy with RLOO or GRPO, and write a policy stack as `train_ppo` does.

    RLOO: Ahmadian et al. 2024 (arXiv 2402.14740), each answer's baseline is the mean reward of its group's others, the
    KL is part of the reward. GRPO: Shao et al. 2024 (arXiv 2402.03300), rewards normalised within the group, the KL is
    part of the loss. Metrics have the names of PPO's; `kl` is nats per response. Returns the summary. Equal arguments
    give equal bytes on the same machine, also after a kill. `gold_fn` as in `train_ppo`.
    Raises SeamError for unusable prompts or models.
    """
    out, where = Path(out), join(device)
    tuned = Tuned(policy_folder, where, algorithm)
    ids = prompt_ids(tuned.tokenizer, list(prompts))
    pool = fitting(prompts, ids, settings.max_prompt_tokens, seed)
    wanted = settings.batch_size // settings.generations
    if len(pool.ids) < wanted:
        raise SeamError(
            f"{len(pool.ids)} prompts are too few for {wanted} in a batch; lower rl.group.batch_size or select more "
            "instructions."
        )
    models = [model_content(policy_folder), model_content(reward_folder)]
    run = run_of(settings, algorithm, seed, models, list(prompts), where.type)
    every = math.ceil(settings.checkpoint_every / settings.epochs) * settings.epochs
    checkpoints = Checkpoints(out.with_name(f"{out.name}.partial"), run, every)
    recorder = Recorder(tuple(LOGGED), progress, watch)
    trainer, config = TRAINERS[algorithm]
    tuned.fit(
        repeated(trainer, checkpoints),
        config,
        {"prompt": [prompt_text(text) for text in pool.instructions], "instruction": list(pool.instructions)},
        recorder,
        checkpoints,
        settings.lora,
        common(where, seed, every) | _arguments(settings) | {"reward_weights": [1.0, 0.0] if gold_fn else [1.0]},
        reward_funcs=[_reward(reward_fn or separate_scorer(reward_folder, where)), *_gold(gold_fn)],
    )
    metrics = [_row(row, settings.batch_size) for row in recorder.rows]
    summary = {
        "algorithm": algorithm,
        "steps": len(metrics),
        "episodes": len(metrics) * settings.batch_size,
        "prompts": len(pool.ids),
        "prompts_too_long": pool.too_long,
        "first": _means(metrics[:RECENT]),
        "last": _means(metrics[-RECENT:]),
        "seed": seed,
        "settings": settings.model_dump(mode="json"),
    }
    return tuned.write(out, metrics, COLUMNS, summary)


def _arguments(settings: GroupRL) -> dict[str, Any]:
    parts = pieces(settings.batch_size, settings.gradient_accumulation)
    return {
        "max_steps": settings.steps,
        "per_device_train_batch_size": parts.micro_batch,
        "gradient_accumulation_steps": parts.accumulation,
        "num_generations": settings.generations,
        "num_iterations": settings.epochs,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "constant",
        "beta": settings.kl_coefficient,
        "epsilon": settings.clip,
        "max_grad_norm": settings.max_grad_norm,
        "max_completion_length": settings.max_new_tokens,
        "temperature": settings.temperature,
        "top_k": 0,
    }


def _reward(scorer: Scorer) -> Any:
    def reward(prompts: Any, completions: list[str], instruction: list[str], **_: Any) -> list[float]:
        scores = scorer(instruction, [text.strip() for text in completions])
        broken = int((~torch.isfinite(scores)).sum())
        if broken:
            raise SeamError(f"{broken} of {len(scores)} rewards are not finite; check the reward model.")
        return [float(score) for score in scores]

    return reward


def _gold(scorer: Scorer | None) -> list[Any]:
    """The true quality, logged with weight 0."""
    if scorer is None:
        return []

    def gold(prompts: Any, completions: list[str], instruction: list[str], **_: Any) -> list[float]:
        return [float(score) for score in scorer(instruction, [text.strip() for text in completions])]

    return [gold]


def _row(logged: dict[str, float], batch_size: int) -> dict[str, float]:
    row = {ours: logged[theirs] for theirs, ours in LOGGED.items() if theirs in logged}
    if "kl_per_token" in row and "response_length" in row:
        row["kl"] = row["kl_per_token"] * row["response_length"]
    if "unended_fraction" in row:
        row["ended_fraction"] = 1 - row["unended_fraction"]
    return {"step": logged["step"], "episodes": logged["step"] * batch_size, **row}


def _means(rows: Sequence[dict[str, float]]) -> dict[str, float | None]:
    def mean(name: str) -> float | None:
        found = [row[name] for row in rows if name in row]
        return round(sum(found) / len(found), 6) if found else None

    return {name: mean(name) for name in ("reward_mean", "kl", "entropy", "response_length", "ended_fraction")}


train_rloo, train_grpo = (partial(train_group, algorithm) for algorithm in ("rloo", "grpo"))
