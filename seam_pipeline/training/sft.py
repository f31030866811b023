"""Supervised fine-tuning of a policy: TRL's SFTTrainer on a LoRA adapter (SPEC.md, section 3).

The loss is on the response and its end token only, one example per row: what small policies need to learn is the
answer. The sequences are not packed, so no example attends to another.
"""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from trl import SFTConfig, SFTTrainer

from ..errors import SeamError
from ..experiment import SFT
from ..models._files import ADAPTERS
from ..models._reward import pad_right
from ..models.content import model_content
from ..models.stack import AdapterStack, write_stack
from ..progress import Progress, silent
from ._artifacts import whole_folder, write_metrics, write_summary
from ._checkpoint import run_of
from ._divided import divide_base, host
from ._examples import IGNORED, Examples, first_rows, sft_examples
from ._parallel import join
from ._trl import Recorder, Schedule, examples_seen, fit, longest, schedule
from ._trl_resume import Checkpoints
from .watch import Watch, unwatched

ADAPTER = "00_sft"
COLUMNS = ("loss", "learning_rate", "grad_norm", "mean_token_accuracy", "entropy")
DEV_EXAMPLES = 256


def train_policy(
    base: Path,
    rows: pa.Table,
    dev: pa.Table,
    n: int,
    settings: SFT,
    out: Path,
    seed: int,
    device: str = "cpu",
    progress: Progress = silent,
    *,
    watch: Watch = unwatched,
) -> dict[str, Any]:
    """Tune the base on the first n rows (tables.SFT), or for n steps on all rows, and write a policy folder.

    n = 0 writes a policy without an adapter. Returns the summary, which is also `summary.json`: its losses are in
    nats per response token. Equal arguments give equal bytes on the same machine, also after a kill: what is left in
    `<out>.partial` is continued by the same call.
    Raises SeamError when there are too few rows, the base can't be loaded or the loss diverges.
    """
    by_steps = settings.unit == "steps"
    chosen = rows if by_steps else first_rows(rows, n, "SFT examples", "policy.ranks")
    if n and not chosen.num_rows:
        raise SeamError("There are no SFT examples to train on; add data or set the rank to 0.")
    where = join(device)
    stack = AdapterStack.from_base(base, host(where))
    limit = longest(stack, settings.max_length)
    examples = sft_examples(stack.tokenizer, chosen.slice(0, 0) if n == 0 else chosen, limit)
    recorder = Recorder(COLUMNS, progress, watch)
    plan = schedule(settings, examples.size, n if by_steps else None)
    partial = out.with_name(f"{out.name}.partial")
    if n:
        stack.add_adapter(ADAPTER, settings.lora, seed)
        stack.use(ADAPTER)
        stack.train_only(ADAPTER)
    divide_base(stack, where)
    if n:
        run = run_of(settings, seed, model_content(base), examples, where.type)
        _train(stack, examples, plan, settings, recorder, Checkpoints(partial, run, settings.checkpoint_every), seed)
    held_out = sft_examples(stack.tokenizer, dev.slice(0, DEV_EXAMPLES), limit)
    counts = {
        "examples": examples.size,
        "examples_cut": examples.cut,
        "examples_seen": examples_seen(settings, examples.size, len(recorder.rows)),
        "tokens": examples.tokens,
        "max_length": limit,
        "steps": len(recorder.rows),
        "train_loss": recorder.mean_loss(),
        "dev_loss": response_loss(stack, held_out),
        "dev_examples": held_out.size,
        "seed": seed,
    }
    with whole_folder(out) as folder:
        if n:
            stack.save_adapter(ADAPTER, folder / ADAPTERS / ADAPTER)
        write_metrics(folder, recorder.rows, ("step", *COLUMNS))
        summary = write_summary(folder, counts)
        write_stack(folder, "policy", base, [ADAPTER] if n else [])
    shutil.rmtree(partial, ignore_errors=True)
    return summary


def _train(
    stack: AdapterStack,
    examples: Examples,
    plan: Schedule,
    settings: SFT,
    recorder: Recorder,
    checkpoints: Checkpoints,
    seed: int,
) -> None:
    fit(
        SFTTrainer,
        SFTConfig,
        stack.model,
        stack.tokenizer,
        examples,
        plan,
        settings,
        recorder,
        checkpoints,
        seed=seed,
        device=torch.device(stack.device),
        dataset_kwargs={"skip_prepare_dataset": True},
        lr_scheduler_type="cosine",
    )


@torch.no_grad()
def response_loss(stack: AdapterStack, examples: Examples, batch_size: int = 32) -> float | None:
    """Mean negative log-likelihood in nats per response token with the active adapters; None without examples."""
    order = sorted(range(examples.size), key=lambda i: -examples.columns["length"][i])
    total, count = 0.0, 0
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        ids, mask = pad_right([examples.columns["input_ids"][i] for i in rows], 0, stack.device)
        labels, _ = pad_right([examples.columns["labels"][i] for i in rows], IGNORED, stack.device)
        targets = labels[:, 1:]
        scored = targets != IGNORED
        logits = stack.lm_logits(stack.hidden(ids, mask)[:, :-1][scored]).float()
        total += torch.nn.functional.cross_entropy(logits, targets[scored], reduction="sum").item()
        count += int(scored.sum())
    return total / count if count else None
