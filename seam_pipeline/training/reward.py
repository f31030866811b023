"""Reward modelling: TRL's RewardTrainer on top of the policy's adapter (SPEC.md, section 3).

Loss -log sigmoid(R(I, r+) - R(I, r-)); the reward is read at the end token, which follows every text.
"""

from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from transformers.modeling_outputs import SequenceClassifierOutput
from trl import RewardConfig, RewardTrainer

from ..errors import SeamError
from ..experiment import RewardTraining
from ..models._files import ADAPTERS, HEAD
from ..models.stack import AdapterStack, RewardModel, StackFile, as_device, read_stack, write_head, write_stack
from ..progress import Progress, silent
from ._artifacts import copy_adapters, fresh_folder, write_metrics, write_summary
from ._examples import Examples, first_rows, preference_examples
from ._trl import Recorder, examples_seen, fit, longest, schedule

COLUMNS = ("loss", "learning_rate", "grad_norm", "accuracy", "margin", "mean_reward")
DEV_PAIRS = 256


def train_reward(
    policy_folder: Path,
    pairs: pa.Table,
    dev: pa.Table,
    n: int,
    settings: RewardTraining,
    out: Path,
    seed: int,
    device: str = "cpu",
    progress: Progress = silent,
) -> dict[str, Any]:
    """Train a reward model on the first n pairs (tables.PREFERENCE), starting from a policy, and write its folder.

    The policy's adapters are copied and stay frozen; a new adapter and the head are trained. n = 0 writes the seeded
    random head alone. Returns the summary, which is also `summary.json`. Equal arguments give equal bytes on the
    same machine. Raises SeamError when there are too few pairs, the policy can't be loaded or the loss diverges.
    """
    chosen = first_rows(pairs, n, "preference pairs", "reward.ranks")
    below, where = read_stack(policy_folder), as_device(device)
    if below.kind != "policy":
        raise SeamError(f"{policy_folder} is a reward model; reward training starts from a policy.")
    stack = _classifier(below, where, seed)
    limit = longest(stack, settings.max_length)
    examples = preference_examples(stack.tokenizer, chosen, limit)
    if n and not examples.size:
        raise SeamError(f"None of {n} preference pairs differ within {limit} tokens; raise max_length.")
    recorder = Recorder(COLUMNS, progress)
    plan = schedule(settings, examples.size)
    fresh_folder(out)
    names = copy_adapters(below.adapters, out)
    if n:
        name = f"{max(1, len(names)):02d}_rm"
        stack.add_adapter(name, settings.lora, seed)
        stack.use(*names, name)
        _train(stack, name, examples, plan, settings, recorder, seed)
        stack.save_adapter(name, out / ADAPTERS / name)
        names.append(name)
    held_out = preference_examples(stack.tokenizer, dev.slice(0, DEV_PAIRS), limit)
    write_head(out / HEAD, stack.model.score.weight)
    write_metrics(out, recorder.rows, ("step", *COLUMNS))
    counts = {
        "examples": examples.size,
        "examples_cut": examples.cut,
        "examples_left_out": examples.left_out,
        "examples_seen": examples_seen(settings, examples.size, len(recorder.rows)),
        "tokens": examples.tokens,
        "max_length": limit,
        "steps": len(recorder.rows),
        "train_loss": recorder.mean_loss(),
        "dev_examples": held_out.size,
        "seed": seed,
    }
    summary = write_summary(out, counts | held_out_quality(stack, held_out))
    write_stack(out, "reward", below.base_path, names, append_eos=True)
    return summary


def _classifier(below: StackFile, device: torch.device, seed: int) -> AdapterStack:
    """The base with the policy's frozen adapters and a float32 head of standard deviation 1 / sqrt(H + 1)."""
    stack = AdapterStack.from_base(below.base_path, device, classifier=True)
    for name, folder in below.adapters:
        stack.load_adapter(name, folder)
    stack.use(*(name for name, _ in below.adapters))
    head = stack.model.score.float()
    random = torch.randn(head.weight.shape, generator=torch.Generator().manual_seed(seed))
    head.weight.data = (random / (head.in_features + 1) ** 0.5).to(device)
    return stack


def _train(
    stack: AdapterStack,
    name: str,
    examples: Examples,
    plan: Any,
    settings: RewardTraining,
    recorder: Recorder,
    seed: int,
) -> None:
    stack.train_only(name)
    stack.model.score.requires_grad_(True)
    reader = RewardModel(stack.model, stack.tokenizer, True, stack.device)

    def forward(input_ids: torch.Tensor, attention_mask: torch.Tensor, **_: Any) -> SequenceClassifierOutput:
        return SequenceClassifierOutput(logits=reader.score(input_ids, attention_mask).unsqueeze(-1))

    # The library looks for the last token that isn't padding by its id: where the end token doubles as padding,
    # it would read the reward one token early.
    stack.model.forward = forward
    fit(
        RewardTrainer,
        RewardConfig,
        stack.model,
        stack.tokenizer,
        examples,
        plan,
        settings,
        recorder,
        seed=seed,
        device=stack.device,
        lr_scheduler_type="linear",
    )
    stack.model.requires_grad_(False)


def held_out_quality(stack: AdapterStack, examples: Examples) -> dict[str, float | None]:
    """Loss and accuracy on held-out pairs with the active adapters; None without pairs."""
    if not examples.size:
        return {"dev_loss": None, "dev_accuracy": None}
    reader = RewardModel(stack.model, stack.tokenizer, True, stack.device)
    good = torch.tensor(reader.rewards(examples.columns["chosen_ids"]))
    bad = torch.tensor(reader.rewards(examples.columns["rejected_ids"]))
    return {
        "dev_loss": -torch.nn.functional.logsigmoid(good - bad).mean().item(),
        "dev_accuracy": (good > bad).double().mean().item(),
    }
