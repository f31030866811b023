"""Reward modelling: TRL's RewardTrainer on top of the policy's adapter (SPEC.md, section 3).

Loss -log sigmoid(R(I, r+) - R(I, r-)); the reward is read at the end token, which follows every text.
"""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from transformers.modeling_outputs import SequenceClassifierOutput
from trl import RewardConfig, RewardTrainer

from ..errors import SeamError
from ..experiment import RewardTraining
from ..models._files import ADAPTERS, HEAD
from ..models.content import model_content
from ..models.stack import AdapterStack, RewardModel, StackFile, read_stack, write_head, write_stack
from ..progress import Progress, silent
from ._artifacts import copy_adapters, whole_folder, write_metrics, write_summary
from ._checkpoint import run_of
from ._divided import divide_base, host
from ._early import EarlyStop
from ._examples import Examples, first_rows, preference_examples
from ._parallel import join
from ._trl import Recorder, Schedule, examples_seen, fit, longest, schedule
from ._trl_resume import Checkpoints
from .watch import Watch, unwatched

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
    *,
    watch: Watch = unwatched,
) -> dict[str, Any]:
    """Train a reward model on the first n pairs (tables.PREFERENCE), starting from a policy, and write its folder.

    The policy's adapters are copied and stay frozen; a new adapter and the head are trained. n = 0 writes the seeded
    random head alone. With `eval_every` training ends early when the dev loss no longer falls, and the best weights
    are kept. Returns the summary, which is also `summary.json`. Equal arguments give equal bytes on the same machine,
    also after a kill: what is left in `<out>.partial` is continued by the same call.
    Raises SeamError when there are too few pairs, the policy can't be loaded or the loss diverges.
    """
    chosen = first_rows(pairs, n, "preference pairs", "reward.ranks")
    below, where = read_stack(policy_folder), join(device)
    if below.kind != "policy":
        raise SeamError(f"{policy_folder} is a reward model; reward training starts from a policy.")
    stack = _classifier(below, host(where), seed)
    limit = longest(stack, settings.max_length)
    examples = preference_examples(stack.tokenizer, chosen, limit)
    if n and not examples.size:
        raise SeamError(f"None of {n} preference pairs differ within {limit} tokens; raise max_length.")
    held_out = preference_examples(stack.tokenizer, dev.slice(0, DEV_PAIRS), limit)
    if n and settings.eval_every and not held_out.size:
        raise SeamError("reward.training.eval_every needs dev pairs, and there are none; add data or set it to null.")
    recorder = Recorder(COLUMNS, progress, watch)
    plan = schedule(settings, examples.size)
    names = [name for name, _ in below.adapters]
    trained = f"{max(1, len(names)):02d}_rm" if n else None
    partial = out.with_name(f"{out.name}.partial")
    if trained:
        stack.add_adapter(trained, settings.lora, seed)
        stack.use(*names, trained)
    divide_base(stack, where)
    if trained:
        run = run_of(settings, seed, model_content(policy_folder), examples, held_out, where.type)
        checkpoints = Checkpoints(partial, run, settings.checkpoint_every)
        _train(stack, trained, examples, held_out, plan, settings, recorder, checkpoints, seed)
    counts = {
        "examples": examples.size,
        "examples_cut": examples.cut,
        "examples_left_out": examples.left_out,
        "examples_seen": examples_seen(settings, examples.size, len(recorder.rows)),
        "tokens": examples.tokens,
        "max_length": limit,
        "steps": len(recorder.rows),
        "steps_planned": plan.steps if n else 0,
        "best_step": recorder.early.best_step if recorder.early else len(recorder.rows),
        "train_loss": recorder.mean_loss(),
        "dev_examples": held_out.size,
        "seed": seed,
    }
    losses = recorder.early.losses if recorder.early else {}
    rows: list[dict[str, float | None]] = [{**row, "dev_loss": losses.get(int(row["step"]))} for row in recorder.rows]
    with whole_folder(out) as folder:
        copy_adapters(below.adapters, folder)
        if trained:
            stack.save_adapter(trained, folder / ADAPTERS / trained)
        write_head(folder / HEAD, stack.model.score.weight)
        write_metrics(folder, rows, ("step", *COLUMNS, "dev_loss"))
        summary = write_summary(folder, counts | held_out_quality(stack, held_out))
        write_stack(folder, "reward", below.base_path, [*names, *([trained] if trained else [])], append_eos=True)
    shutil.rmtree(partial, ignore_errors=True)
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
    held_out: Examples,
    plan: Schedule,
    settings: RewardTraining,
    recorder: Recorder,
    checkpoints: Checkpoints,
    seed: int,
) -> None:
    parameters = [*stack.train_only(name), stack.model.score.weight]
    stack.model.score.requires_grad_(True)
    if settings.eval_every:
        recorder.early = EarlyStop(
            lambda: _dev_loss(stack, held_out), parameters, settings.eval_every, settings.patience
        )
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
        checkpoints,
        seed=seed,
        device=stack.device,
        lr_scheduler_type="linear",
        disable_dropout=False,
    )
    stack.model.requires_grad_(False)
    if recorder.early:
        recorder.early.put_best()


def _dev_loss(stack: AdapterStack, held_out: Examples) -> float:
    stack.model.eval()
    loss = held_out_quality(stack, held_out)["dev_loss"]
    stack.model.train()
    assert loss is not None
    return loss


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
