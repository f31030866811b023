"""A new adapter on a policy, trained by one of TRL's trainers; the policy itself is folded into its base in memory."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import PrinterCallback

from ..errors import SeamError
from ..experiment import Lora
from ..models._compat import quiet
from ..models._files import ADAPTERS
from ..models.adapters import AdapterStack, write_adapter
from ..models.stack import StackFile, read_stack, write_stack
from ._artifacts import copy_adapters, whole_folder, write_metrics, write_summary
from ._parallel import check_one_gpu, divides
from ._trl import Recorder
from ._trl_resume import Checkpoints, resumable

DEFAULT = "default"
"""The name that TRL gives to its adapter."""


class Tuned:
    """A policy stack that gets one more adapter; the reference is the policy without it.

    In half precision the fold rounds the policy's weights once, for policy and reference alike.
    """

    def __init__(self, policy_folder: str | Path, device: torch.device, suffix: str) -> None:
        if divides():
            raise SeamError("DPO, RLOO and GRPO need the whole base in each process; set compute.fsdp to false.")
        self.stack = _policy(policy_folder)
        self.frozen = [name for name, _ in self.stack.adapters]
        number = len(self.frozen)
        while (name := f"{number:02d}_{suffix}") in self.frozen:
            number += 1
        self.name = name
        base = AdapterStack.from_base(self.stack.base_path, device)
        for adapter, folder in self.stack.adapters:
            base.load_adapter(adapter, folder)
        base.merge(self.frozen)
        self.model, self.tokenizer, self.device = base.model, base.tokenizer, device

    def fit(
        self,
        trainer_class: Any,
        config_class: Any,
        columns: dict[str, list[Any]],
        recorder: Recorder,
        checkpoints: Checkpoints,
        lora: Lora,
        arguments: dict[str, Any],
        **more: Any,
    ) -> None:
        """Train; the model is then a PEFT model with the adapter `default`."""
        check_one_gpu(self.device)
        with TemporaryDirectory() as scratch, quiet():
            config = config_class(output_dir=scratch, disable_dropout=True, **arguments)
            trainer = resumable(trainer_class, checkpoints, recorder)(
                model=self.model,
                args=config,
                train_dataset=Dataset.from_dict(columns),
                processing_class=self.tokenizer,
                callbacks=[recorder],
                peft_config=_config(lora),
                **more,
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train(resume_from_checkpoint=os.fspath(checkpoints.found[0]) if checkpoints.found else None)
            self.model = trainer.accelerator.unwrap_model(trainer.model)

    def write(
        self, out: Path, metrics: Sequence[dict[str, float]], columns: Sequence[str], summary: dict[str, Any]
    ) -> dict[str, Any]:
        """Write the policy stack with the new adapter; `out` appears when it is complete."""
        with whole_folder(out) as folder:
            copy_adapters(self.stack.adapters, folder)
            write_adapter(self.model, DEFAULT, folder / ADAPTERS / self.name)
            write_metrics(folder, metrics, columns)
            written = write_summary(folder, summary | {"adapter": self.name})
            write_stack(folder, "policy", self.stack.base_path, [*self.frozen, self.name])
        shutil.rmtree(out.with_name(f"{out.name}.partial"), ignore_errors=True)
        return written


def _policy(folder: str | Path) -> StackFile:
    stack = read_stack(folder)
    if stack.kind != "policy":
        raise SeamError(f"{folder} is a reward model; RL and DPO start from a policy.")
    return stack


def _config(lora: Lora) -> LoraConfig:
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules),
        bias="none",
        task_type="CAUSAL_LM",
    )
