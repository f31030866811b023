"""Small actors and batches shared by PPO's tests."""

from pathlib import Path

import torch

from seam_pipeline.models.stack import AdapterStack
from seam_pipeline.training._ppo_actor import Actor
from seam_pipeline.training._ppo_prompts import stream
from seam_pipeline.training._ppo_rollout import Rollout, sample
from seam_pipeline_tests.tiny import LORA, tiny_base

PROMPTS = ["how do I brew?", "why is the hop bitter and the ale pale", "x", "boil the wort, then cool it; and then?"]


def make_actor(folder: Path, *, lean: bool = True, scale: float = 0.2, temperature: float = 1.0, **shape: int) -> Actor:
    """An actor with a random frozen adapter, a random RL adapter and a random value head on a tiny base."""
    base = tiny_base(folder, **shape)
    stack = AdapterStack.from_base(base)
    for number, name in enumerate(("00_sft", "01_rl")):
        stack.add_adapter(name, LORA.model_copy(update={"dropout": 0.5}), seed=number)
        for index, parameter in enumerate(stack.parameters_of(name)):
            parameter.data = scale * torch.randn(parameter.shape, generator=stream(number, name, index))
    actor = Actor.fresh(stack, ("00_sft",), "01_rl", temperature)
    actor.head.weight.data = 0.3 * torch.randn(actor.head.weight.shape, generator=stream(0, "head"))
    actor.views.lean = actor.views.lean and lean
    return actor


def prompt_ids(actor: Actor, rows: int) -> list[list[int]]:
    tokenizer = actor.views.stack.tokenizer
    return [tokenizer(f"Question: {PROMPTS[i % len(PROMPTS)]}\n\nAnswer:")["input_ids"] for i in range(rows)]


def roll(actor: Actor, rows: int = 8, longest: int = 12, seed: int = 0, **more: object) -> Rollout:
    limits = torch.randint(1, longest + 1, (rows,), generator=stream(seed, "limits"))
    noise = torch.rand(rows, longest, generator=stream(seed, "noise"), dtype=torch.float64)
    options = {"prompts": prompt_ids(actor, rows), "limits": limits, "noise": noise, "stops": [2], "pad": 0, **more}
    view = actor.sampling()
    with actor.views.entered(view):
        return sample(actor.views, view, actor.head, temperature=actor.temperature, **options)
