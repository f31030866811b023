"""Proximal policy optimisation of a policy stack against a reward model (SPEC.md, section 4)."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import SeamError
from ..experiment import PPO
from ..models.generate import stop_ids
from ..models.stack import AdapterStack, Policy, StackFile, read_stack, write_stack
from ..progress import Progress, silent
from ._artifacts import copy_adapters, whole_folder
from ._divided import divide_base, host
from ._parallel import is_main, join
from ._ppo_actor import Actor
from ._ppo_checkpoint import (
    ADAPTER,
    Saved,
    fingerprint,
    good_weights,
    newest,
    restore_optimizer,
    save_checkpoint,
    write_metrics,
)
from ._ppo_gather import check_processes
from ._ppo_math import KLController
from ._ppo_prompts import Prompts, fitting, stream
from ._ppo_reward import Scorer, load_adapters, separate_scorer, shared_scorer, shares_base
from ._ppo_step import DivergedError, Learner
from .watch import Watch, unwatched

RECENT = 10
"""Steps over which the summary averages."""


def train_ppo(
    policy_folder: str | Path,
    reward_folder: str | Path,
    prompts: Sequence[str],
    settings: PPO,
    out: Path,
    seed: int,
    device: str | torch.device = "cpu",
    progress: Progress = silent,
    *,
    reward_fn: Scorer | None = None,
    gold_fn: Scorer | None = None,
    watch: Watch = unwatched,
) -> Path:
    """Train a LoRA adapter on top of a policy, and write a policy stack of its adapters and the new one.

    Objective: E[R(I, r)] - beta * KL(policy || policy_folder's policy), a per-token penalty. `prompts` are
    instructions. The folder gets `adapters/`, `value_head.safetensors`, `metrics.parquet` (one row per step),
    `summary.json` and `stack.json`; an old folder is replaced when the new one is complete. Equal inputs and seed give
    equal bytes on one machine and number of threads.

    An interrupted run leaves `<out>.partial`; the same call continues from its checkpoint to the same final weights.
    Dropout stays off: with it, ratios would not start at 1. `reward_fn` replaces the reward model (tests, experiments);
    `gold_fn` knows the true quality of a response, which is measured on every batch (`gold_mean`) and not trained on.
    `watch` gets each row of metrics as it appears.
    Several processes (accelerate launch) sample, score and update their shares of each batch and see all of it: the
    same numbers as one process gives, but for rounding.
    Raises SeamError for unusable prompts or models, a full disk, and divergence: numbers that cease to be finite, or a
    KL over `max_kl`. The policy before the update that did it is then kept in `<out>.partial/last_good`.
    """
    out, where = Path(out), join(device)
    check_processes(settings)
    policy, reward = _read(policy_folder, "policy"), read_stack(reward_folder)
    run = fingerprint(settings, seed, policy_folder, reward_folder, prompts, where)
    partial = out.with_name(f"{out.name}.partial")
    saved = newest(partial / "checkpoint", run)
    learner = _learner(policy, reward, reward_folder, prompts, settings, seed, where, saved, reward_fn)
    learner.gold = gold_fn
    while len(learner.metrics) < settings.steps:
        try:
            learner.step()
        except DivergedError as error:
            raise _diverged(learner, policy, partial / "last_good", str(error)) from error
        done = len(learner.metrics)
        if done % settings.checkpoint_every == 0 and done < settings.steps and is_main():
            save_checkpoint(
                partial / "checkpoint",
                learner.actor,
                learner.optimizer,
                learner.metrics,
                learner.controller.coefficient,
                learner.good,
                run,
            )
        if is_main():
            watch(learner.metrics[-1])
            progress(done, settings.steps)
    _write(learner, policy, out)
    shutil.rmtree(partial, ignore_errors=True)
    return out


def _read(folder: str | Path, kind: str) -> StackFile:
    stack = read_stack(folder)
    if stack.kind != kind:
        raise SeamError(f"{folder} is a {stack.kind} model; PPO starts from a {kind}.")
    return stack


def _learner(
    policy: StackFile,
    reward: StackFile,
    reward_folder: str | Path,
    prompts: Sequence[str],
    settings: PPO,
    seed: int,
    device: torch.device,
    saved: Saved | None,
    reward_fn: Scorer | None,
) -> Learner:
    stack = AdapterStack.from_base(policy.base_path, host(device), settings.dtype)
    pool = _pool(stack, prompts, settings, seed)
    for name, folder in policy.adapters:
        stack.load_adapter(name, folder)
    shared = reward_fn is None and shares_base(reward, policy)
    reward_names = load_adapters(stack, reward) if shared else []
    actor = _actor(stack, policy, settings, seed, device, saved)
    most_rows = settings.minibatch_size // settings.gradient_accumulation
    if shared:
        scorer = shared_scorer(actor.views, reward_names, reward, most_rows)
    else:
        scorer = reward_fn or separate_scorer(reward_folder, device, settings.dtype)
    learner = Learner(
        actor,
        scorer,
        pool,
        settings,
        seed,
        stop_ids(Policy(stack.model, stack.tokenizer, device)),
        actor.optimizer(settings),
        KLController(settings.kl_coefficient, settings.kl_target, settings.kl_horizon),
        actor.reference(),
    )
    if saved is not None:
        restore_optimizer(learner.optimizer, saved.folder)
        learner.controller.coefficient, learner.metrics = saved.kl_coefficient, saved.metrics
        learner.good = good_weights(saved.folder, device)
    return learner


def _pool(stack: AdapterStack, prompts: Sequence[str], settings: PPO, seed: int) -> Prompts:
    policy = Policy(stack.model, stack.tokenizer, stack.device)
    window = policy.window
    longest = (
        settings.max_prompt_tokens
        if window is None
        else min(settings.max_prompt_tokens, window - settings.max_new_tokens)
    )
    if longest < 1:
        raise SeamError(
            f"rl.ppo.max_new_tokens is {settings.max_new_tokens}, but the base model reads {window} tokens in all; "
            "lower it."
        )
    return fitting(prompts, policy.prompt_ids(prompts), longest, seed)


def _actor(
    stack: AdapterStack, policy: StackFile, settings: PPO, seed: int, device: torch.device, saved: Saved | None
) -> Actor:
    frozen = tuple(name for name, _ in policy.adapters)
    number = len(frozen)
    while (adapter := f"{number:02d}_rl") in frozen:
        number += 1
    if saved is not None:
        stack.load_adapter(adapter, saved.folder / ADAPTER, trainable=True)
    else:
        stack.add_adapter(adapter, settings.lora, seed=stream(seed, "adapter").initial_seed())
    divide_base(stack, device)
    actor = Actor.fresh(stack, frozen, adapter, settings.temperature)
    if saved is not None:
        actor.load_head(saved.folder)
    return actor


def _diverged(learner: Learner, policy: StackFile, folder: Path, what: str) -> SeamError:
    done = len(learner.metrics)
    learner.actor.put_weights(learner.good or learner.actor.weights())
    _write(learner, policy, folder)
    return SeamError(
        f"PPO diverged in step {done + 1} of {learner.settings.steps}: {what}. The last good policy is in {folder}; "
        "lower rl.ppo.learning_rate, raise rl.ppo.kl_coefficient or check the reward model, then run again."
    )


def _write(learner: Learner, policy: StackFile, out: Path) -> None:
    with whole_folder(out, "outcome") as folder:
        copy_adapters(policy.adapters, folder)
        actor = learner.actor
        actor.save(folder, folder / "adapters" / actor.adapter)
        write_metrics(learner.metrics, folder / "metrics.parquet")
        text = json.dumps(_summary(learner), indent=1, sort_keys=True) + "\n"
        (folder / "summary.json").write_text(text, "utf-8")
        write_stack(folder, "policy", policy.base_path, (*actor.frozen, actor.adapter))


def _summary(learner: Learner) -> dict[str, Any]:
    metrics, pool = learner.metrics, learner.prompts
    averaged = ("reward_mean", "kl", "entropy", "response_length", "ended_fraction", "policy_loss", "value_loss")

    def mean(name: str, rows: Sequence[dict[str, Any]]) -> float | None:
        return round(sum(row[name] for row in rows) / len(rows), 6) if rows else None

    return {
        "algorithm": "ppo",
        "steps": len(metrics),
        "episodes": len(metrics) * learner.settings.batch_size,
        "response_tokens": sum(row["response_tokens"] for row in metrics),
        "prompts": len(pool.ids),
        "prompts_too_long": pool.too_long,
        "first": {name: mean(name, metrics[:RECENT]) for name in averaged},
        "last": {name: mean(name, metrics[-RECENT:]) for name in averaged},
        "kl_stops": sum(row["kl_stop"] for row in metrics),
        "kl_coefficient": round(learner.controller.coefficient, 6),
        "adapter": learner.actor.adapter,
        "seed": learner.seed,
        "settings": learner.settings.model_dump(mode="json"),
    }
