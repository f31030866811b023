"""One PPO step: rollouts, rewards, advantages, updates, metrics."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..experiment import PPO
from ._parallel import gathered, in_order, share
from ._ppo_actor import Actor, reference_logp
from ._ppo_gather import all_rows
from ._ppo_math import KLController, explained_variance, gae, masked_mean, shaped_rewards, token_kl, whiten
from ._ppo_prompts import Prompts, response_limits, stream
from ._ppo_reward import Scorer
from ._ppo_rollout import Rollout, sample
from ._ppo_scores import trained_scores
from ._ppo_update import NotFiniteError, Targets, update
from ._ppo_views import View


class DivergedError(Exception):
    """Numbers that are not finite, or a policy too far from the reference; the message says which."""


@dataclass
class Learner:
    """Everything that a run carries from step to step; `metrics` has one row per step done.

    `good` are the weights of the last policy whose rollouts were finite and within `max_kl` of the reference.
    Forwards per step: sampling gives log-probabilities, entropies and values at once, so none is made again for the
    values (they share the policy's trunk); one without gradients gives the reference's log-probabilities.
    """

    actor: Actor
    scorer: Scorer
    prompts: Prompts
    settings: PPO
    seed: int
    stops: list[int]
    optimizer: torch.optim.Optimizer
    controller: KLController
    reference: View
    metrics: list[dict[str, Any]] = field(default_factory=list)
    good: list[Tensor] = field(default_factory=list)
    gold: Scorer | None = None

    def step(self) -> None:
        """Make the next step and append its metrics. Raises DivergedError."""
        step, settings = len(self.metrics), self.settings
        chosen = self.prompts.batch(step, settings.batch_size)
        mine = share(range(settings.batch_size))
        own = self._rollout(step, chosen, mine)
        most_rows = settings.minibatch_size // settings.gradient_accumulation
        rollout, reference = all_rows(own, reference_logp(self.actor, self.reference, own, most_rows), self.pad)
        if not bool(torch.isfinite(rollout.logp).all() & torch.isfinite(rollout.values).all()):
            raise DivergedError("the policy's log-probabilities or values are not finite")
        kl = token_kl(rollout.logp, reference)
        self._check_kl(kl, rollout.mask)
        self.good = self.actor.weights()
        texts, instructions = self._texts(rollout), [self.prompts.instructions[i] for i in chosen]
        scores = self._scores(rollout, instructions, texts, mine)
        trained = trained_scores(scores, rollout.ended, self.metrics, settings)
        if step == 0:
            self.actor.start_values(rollout, trained)
        penalty = token_kl(rollout.logp, reference, settings.kl_estimator)
        rewards = shaped_rewards(trained, penalty, rollout.mask, self.controller.coefficient)
        advantages, returns = gae(rewards, rollout.values, rollout.mask, settings.gamma, settings.lam)
        targets = Targets(whiten(advantages, rollout.mask), returns)
        row = self._describe(rollout, scores, kl, returns, texts) | {"score_mean": float(trained.double().mean())}
        if self.gold is not None:
            row["gold_mean"] = float(_scored(self.gold, instructions, texts, mine).double().mean())
        try:
            row |= update(self.actor, self.optimizer, rollout, targets, settings, self.seed, step)
        except NotFiniteError as error:
            raise DivergedError("a loss or gradient is not finite") from error
        if not self.actor.finite():
            raise DivergedError("the weights are not finite")
        self.controller.update(row["kl"], settings.batch_size)
        self.metrics.append(row)

    @property
    def pad(self) -> int:
        """The padding token's id."""
        return int(self.actor.views.stack.tokenizer.pad_token_id)

    def _rollout(self, step: int, chosen: list[int], mine: list[int]) -> Rollout:
        """The rows `mine` of the step's batch; a row's response is the same whatever rows come with it."""
        settings, generator = self.settings, stream(self.seed, "rollouts", step)
        size, longest = settings.batch_size, settings.max_new_tokens
        limits = response_limits(generator, size, settings.min_new_tokens, longest)
        noise = torch.rand(size, longest, generator=generator, dtype=torch.float64)
        view = self.actor.sampling()
        with self.actor.views.entered(view):
            return sample(
                self.actor.views,
                view,
                self.actor.head,
                [self.prompts.ids[chosen[row]] for row in mine],
                limits[mine],
                noise[mine],
                temperature=settings.temperature,
                stops=self.stops,
                pad=self.pad,
            )

    def _texts(self, rollout: Rollout) -> list[str]:
        tokenizer = self.actor.views.stack.tokenizer
        rows = [row[:n] for row, n in zip(rollout.tokens.tolist(), rollout.lengths.tolist(), strict=True)]
        return [text.strip() for text in tokenizer.batch_decode(rows, skip_special_tokens=True)]

    def _check_kl(self, kl: Tensor, mask: Tensor) -> None:
        mean, most = float(torch.where(mask, kl, kl.new_zeros(())).sum(1).mean()), self.settings.max_kl
        if not math.isfinite(mean):
            raise DivergedError("the reference's log-probabilities are not finite")
        if most is not None and mean > most:
            raise DivergedError(
                f"the policy is {mean:.4g} nats per response from the reference (rl.ppo.max_kl: {most:g})"
            )

    def _scores(self, rollout: Rollout, instructions: list[str], texts: list[str], mine: list[int]) -> Tensor:
        scores = _scored(self.scorer, instructions, texts, mine).float()
        broken = int((~torch.isfinite(scores)).sum())
        if broken:
            raise DivergedError(f"{broken} of {len(scores)} rewards are not finite")
        return scores.to(rollout.logp.device)

    def _describe(
        self, rollout: Rollout, scores: Tensor, kl: Tensor, returns: Tensor, texts: list[str]
    ) -> dict[str, Any]:
        mask, lengths = rollout.mask, rollout.lengths.double()
        zero = kl.new_zeros(())
        summed = torch.where(mask, kl, zero).sum(1).double()
        positive = torch.where(mask, token_kl(kl, torch.zeros_like(kl), "k3"), zero).sum(1).double()
        numbers = {
            "reward_mean": scores.double().mean(),
            "reward_std": scores.double().std(correction=0),
            "reward_min": scores.min(),
            "reward_max": scores.max(),
            "kl": summed.mean(),
            "kl_k3": positive.mean(),
            "entropy": masked_mean(rollout.entropy, mask),
            "response_length": lengths.mean(),
            "response_length_max": lengths.max(),
            "ended_fraction": rollout.ended.double().mean(),
            "prompt_length": rollout.prompt_lengths.double().mean(),
            "value_mean": masked_mean(rollout.values, mask),
            "return_mean": masked_mean(returns, mask),
        }
        return {
            "step": len(self.metrics) + 1,
            "episodes": (len(self.metrics) + 1) * self.settings.batch_size,
            "response_tokens": int(mask.sum()),
            "kl_coefficient": self.controller.coefficient,
            **{name: float(number) for name, number in numbers.items()},
            "empty_fraction": texts.count("") / len(texts),
            "explained_variance": explained_variance(rollout.values, returns, mask),
        }


def _scored(scorer: Scorer, instructions: list[str], texts: list[str], mine: list[int]) -> Tensor:
    """Scores [B] of all rows; this process scores the rows `mine`."""
    scores = scorer([instructions[row] for row in mine], [texts[row] for row in mine]).cpu()
    return torch.stack(in_order(gathered(scores)))
