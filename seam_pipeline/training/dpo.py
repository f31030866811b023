"""DPO through TRL: what the same preference pairs give without reward model and RL."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from trl import DPOConfig, DPOTrainer

from ..errors import SeamError
from ..experiment import DPO
from ..models._compat import window_of
from ..models.content import model_content
from ..progress import Progress, silent
from ._checkpoint import run_of
from ._examples import dpo_examples, first_rows
from ._parallel import join
from ._trl import Recorder, common, examples_seen, schedule
from ._trl_adapter import Tuned
from ._trl_resume import Checkpoints, grouped
from .watch import Watch, unwatched

LOGGED = {
    "loss": "loss",
    "rewards/accuracies": "accuracy",
    "rewards/margins": "margin",
    "rewards/chosen": "chosen_reward",
    "rewards/rejected": "rejected_reward",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
}


class _Tokenised(DPOTrainer):
    def _prepare_dataset(self, dataset: Any, *_args: Any, **_more: Any) -> Any:
        return dataset


def train_dpo(
    policy_folder: str | Path,
    pairs: pa.Table,
    settings: DPO,
    out: Path,
    seed: int,
    device: str | torch.device = "cpu",
    progress: Progress = silent,
    *,
    watch: Watch = unwatched,
) -> dict[str, Any]:
    """Train a LoRA adapter on top of a policy on preference pairs, and write a policy stack; returns the summary.

    Loss -log sigmoid(beta (log pi/pi_ref (r+) - log pi/pi_ref (r-))), Rafailov et al. 2023 (arXiv 2305.18290), eq. 7;
    the reference is the policy itself. Rewards in the metrics are the implicit ones, beta log pi/pi_ref.
    Equal arguments give equal bytes on the same machine, also after a kill. Raises SeamError when there are no usable
    pairs or fewer than asked for.
    """
    out, where = Path(out), join(device)
    chosen = pairs if settings.pairs is None else first_rows(pairs, settings.pairs, "preference pairs", "rl.dpo.pairs")
    tuned = Tuned(policy_folder, where, "dpo")
    limit = min(settings.max_length, window_of(tuned.model) or settings.max_length)
    examples = dpo_examples(tuned.tokenizer, chosen, limit)
    if not examples.size:
        raise SeamError(f"None of {chosen.num_rows} preference pairs differ within {limit} tokens; raise max_length.")
    plan = schedule(settings, examples.size)
    run = run_of(settings, "dpo", seed, model_content(policy_folder), examples, where.type)
    checkpoints = Checkpoints(out.with_name(f"{out.name}.partial"), run, settings.checkpoint_every)
    recorder = Recorder(tuple(LOGGED), progress, watch)
    arguments = {
        "max_steps": plan.steps,
        "per_device_train_batch_size": plan.micro_batch,
        "gradient_accumulation_steps": plan.accumulation,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": "linear",
        "beta": settings.beta,
        "max_length": None,
    }
    trainer = grouped(_Tokenised, checkpoints, settings)
    tuned.fit(
        trainer,
        DPOConfig,
        examples.columns,
        recorder,
        checkpoints,
        settings.lora,
        common(where, seed, checkpoints.every) | arguments,
    )
    metrics = [{"step": row["step"]} | {o: row[t] for t, o in LOGGED.items() if t in row} for row in recorder.rows]
    summary = {
        "algorithm": "dpo",
        "pairs": examples.size,
        "pairs_cut": examples.cut,
        "pairs_left_out": examples.left_out,
        "pairs_seen": examples_seen(settings, examples.size, len(metrics)),
        "steps": len(metrics),
        "train_loss": recorder.mean_loss(),
        "seed": seed,
        "settings": settings.model_dump(mode="json"),
    }
    return tuned.write(out, metrics, ("step", *LOGGED.values()), summary)
