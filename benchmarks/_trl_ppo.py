"""TRL's PPO on the task of benchmarks/ppo.py; run in TRL's own environment: python _trl_ppo.py TASK.json OUT.json

Set up as TRL's example script does (examples/scripts/ppo/ppo.py): LoRA policy whose reference is the same model without
the adapter, a value model and a reward model of their own. `value: lora` trains the value model by LoRA too.
"""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

import torch
import transformers
import trl
from _ppo_measure import Clock, pin
from datasets import Dataset
from peft import LoraConfig, inject_adapter_in_model
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback
from trl.experimental.ppo import PPOConfig, PPOTrainer


class TextReward(torch.nn.Module):
    """Our reward model on the decoded text, in the shape TRL asks for: token ids go through as hidden states."""

    base_model_prefix = "reader"

    def __init__(self, tokenizer: Any, folder: str) -> None:
        super().__init__()
        # here alone: the speed benchmark's process holds nothing of ours
        from seam_pipeline.training._ppo_reward import separate_scorer

        self.tokenizer, self.rate = tokenizer, separate_scorer(folder, torch.device("cpu"))

    def reader(self, input_ids: torch.Tensor, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(hidden_states=[input_ids[..., None].double()])

    def score(self, hidden: torch.Tensor) -> torch.Tensor:
        texts = self.tokenizer.batch_decode(hidden[..., 0].long().tolist(), skip_special_tokens=True)
        prompts, _, answers = zip(*(text.partition("\n\nAnswer:") for text in texts), strict=True)
        instructions = [prompt.removeprefix("Question: ") for prompt in prompts]
        rewards = self.rate(instructions, [answer.strip() for answer in answers])
        return rewards[:, None, None].expand(-1, hidden.shape[1], 1)


class Steps(TrainerCallback):
    """Times each step and keeps what TRL logs."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.metrics: dict[str, list[float]] = {"reward": [], "kl": []}

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.clock.start()

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.clock.step()

    def on_log(self, _args: Any, _state: Any, _control: Any, logs: dict[str, float], **__: Any) -> None:
        if "objective/scores" in logs:
            self.metrics["reward"].append(logs["objective/scores"])
            self.metrics["kl"].append(logs["objective/kl"])


def trainer_of(task: dict[str, Any], steps: Steps) -> PPOTrainer:
    policy, reward = task["plain_policy"], task["plain_reward"]
    tokenizer = AutoTokenizer.from_pretrained(policy, padding_side="left")
    lora = {"r": task["lora_r"], "lora_alpha": task["lora_alpha"], "target_modules": ["q_proj", "v_proj"]}
    value = AutoModelForSequenceClassification.from_pretrained(reward, num_labels=1, dtype=torch.float32)
    if task["value"] == "lora":
        value = inject_adapter_in_model(LoraConfig(**lora), value)
        value.score.requires_grad_(True)
    if task["learn"]:
        scorer: torch.nn.Module = TextReward(tokenizer, task["reward"])
    else:
        scorer = AutoModelForSequenceClassification.from_pretrained(reward, num_labels=1, dtype=torch.float32)
    accumulation = task["gradient_accumulation"]
    config = PPOConfig(
        output_dir=task["work"],
        seed=task["seed"],
        learning_rate=task["learning_rate"],
        lr_scheduler_type="constant",
        per_device_train_batch_size=task["batch_size"] // accumulation,
        gradient_accumulation_steps=accumulation,
        num_mini_batches=1,
        num_ppo_epochs=task["epochs"],
        total_episodes=task["steps"] * task["batch_size"],
        local_rollout_forward_batch_size=task["batch_size"],
        response_length=task["response_length"],
        temperature=1.0,
        stop_token="eos",
        kl_coef=task["kl_coefficient"],
        cliprange=0.2,
        cliprange_value=0.2,
        vf_coef=0.1,
        gamma=1.0,
        lam=0.95,
        num_sample_generations=0,
        save_strategy="no",
        report_to=[],
        logging_steps=1,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=task["trl_checkpointing"],
        disable_tqdm=True,
    )
    return PPOTrainer(
        args=config,
        processing_class=tokenizer,
        model=AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32),
        ref_model=None,
        reward_model=scorer,
        value_model=value,
        train_dataset=Dataset.from_dict({"input_ids": json.loads(Path(task["prompts"]).read_text("utf-8"))["ids"]}),
        peft_config=LoraConfig(**lora, lora_dropout=0.0, task_type="CAUSAL_LM"),
        callbacks=[steps],
    )


def main() -> None:
    if trl.__version__ != "1.12.0":
        raise SystemExit(f"This is TRL {trl.__version__}; the benchmark compares with 1.12.0.")
    task = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    pin(task["threads"])
    clock = Clock()
    steps = Steps(clock)
    trainer_of(task, steps).train()
    versions = {"trl": trl.__version__, "transformers": transformers.__version__, "torch": torch.__version__}
    clock.write(Path(sys.argv[2]), steps.metrics, versions)


if __name__ == "__main__":
    main()
