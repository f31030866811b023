"""The policy that PPO trains: a LoRA adapter and a value head on a frozen stack."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..experiment import PPO
from ..models.stack import AdapterStack
from ._divided import in_step
from ._ppo_projection import Tokens, project_tokens
from ._ppo_prompts import length_groups
from ._ppo_rollout import Rollout
from ._ppo_views import View, Views

VALUE_HEAD = "value_head.safetensors"


@dataclass
class Actor:
    """Policy = base + `frozen` adapters + `adapter`; reference = base + `frozen`; values = `head` on the policy.

    The head is a float32 linear layer [1, H] with bias on the trunk's hidden states. It starts at zero weight, and
    with the mean reward of the first batch as its bias (`start_values`). The paper starts its value function from the
    reward model; that would need the reward adapters under the policy's own, a second trunk. What matters of it is
    kept: with a wrong mean, GAE's lambda acts as a discount and pays for short or long responses by the reward's sign.
    """

    views: Views
    frozen: tuple[str, ...]
    adapter: str
    head: torch.nn.Linear
    temperature: float

    @classmethod
    def fresh(cls, stack: AdapterStack, frozen: tuple[str, ...], adapter: str, temperature: float) -> "Actor":
        """An actor on a stack that has its adapters already. Dropout is switched off, fresh adapters' too."""
        stack.model.eval()
        width = stack.model.config.get_text_config().hidden_size
        head = torch.nn.Linear(width, 1, device=stack.device, dtype=torch.float32)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        return cls(Views(stack), frozen, adapter, head, temperature)

    def sampling(self) -> View:
        """The policy as it is now, for use without gradients."""
        return self.views.view((*self.frozen, self.adapter))

    def training(self) -> View:
        """The policy with its adapter active, for gradients."""
        return self.views.view(self.frozen, (self.adapter,))

    def reference(self) -> View:
        """The policy before RL."""
        return self.views.view(self.frozen)

    def start_values(self, rollout: Rollout, scores: Tensor) -> None:
        """Set the head's bias, and the rollout's values, to the mean reward; for the first batch only."""
        with torch.no_grad():
            self.head.bias.fill_(scores.mean())
        rollout.values[rollout.mask] = self.head.bias.detach()

    def numbers(self, hidden: Tensor, tokens: Tensor, with_entropy: bool = False) -> Tokens:
        """Numbers of tokens [N] at the rollout's temperature; hidden [N, H]: the states before the tokens."""
        return project_tokens(self.views.stack, hidden, tokens, self.temperature, with_entropy)

    def optimizer(self, settings: PPO) -> torch.optim.AdamW:
        """AdamW without weight decay over the adapter, and the value head at its own rate."""
        groups = [
            {"params": self.views.stack.train_only(self.adapter), "lr": settings.learning_rate},
            {"params": list(self.head.parameters()), "lr": settings.value_learning_rate or settings.learning_rate},
        ]
        return torch.optim.AdamW(groups, weight_decay=0.0, fused=True)

    def weights(self) -> list[Tensor]:
        """Copies of all that is trained."""
        trained = (*self.views.stack.parameters_of(self.adapter), *self.head.parameters())
        return [parameter.detach().clone() for parameter in trained]

    def finite(self) -> bool:
        """Whether no trained weight is NaN or infinite."""
        trained = (*self.views.stack.parameters_of(self.adapter), *self.head.parameters())
        return all(bool(torch.isfinite(parameter).all()) for parameter in trained)

    def put_weights(self, weights: Sequence[Tensor]) -> None:
        """Set what `weights` gave."""
        trained = (*self.views.stack.parameters_of(self.adapter), *self.head.parameters())
        for parameter, weight in zip(trained, weights, strict=True):
            parameter.data.copy_(weight)

    def save(self, folder: Path, adapter_folder: Path) -> None:
        """Write the adapter (plain PEFT) and `value_head.safetensors` (keys `weight` [1, H], `bias` [1])."""
        self.views.stack.save_adapter(self.adapter, adapter_folder)
        state = {key: value.detach().cpu().contiguous() for key, value in self.head.state_dict().items()}
        save_file(state, folder / VALUE_HEAD, metadata={"format": "pt"})

    def load_head(self, folder: Path) -> None:
        """Read what `save` wrote."""
        self.head.load_state_dict(load_file(folder / VALUE_HEAD))


@torch.no_grad()
def reference_logp(actor: Actor, view: View, rollout: Rollout, most_rows: int) -> Tensor:
    """Log-probabilities [B, T] of the sampled tokens under the reference; 0 on padding.

    Whole sequences in one forward each; the vocabulary projection is made for response tokens only.
    """
    outcome = torch.zeros_like(rollout.logp)
    lengths = (rollout.prompt_lengths + rollout.lengths).tolist()
    with actor.views.entered(view):
        for group, _ in in_step(length_groups(lengths, most_rows)):
            rows = torch.tensor(group, device=outcome.device)
            ids, row, place = rollout.select(rows)
            hidden = actor.views.states(view, ids, row, place)
            mask = rollout.mask[rows]
            part = torch.zeros(mask.shape, device=outcome.device)
            part[mask] = actor.numbers(hidden, rollout.tokens[rows][mask]).logp
            outcome[rows] = part
    return outcome
