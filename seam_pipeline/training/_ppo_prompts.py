"""Which prompts a PPO step sees, and every random stream of a run: both pure functions of the seed and the step."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import SeamError


def stream(seed: int, *path: str | int) -> torch.Generator:
    """A CPU generator that depends on the seed and the path alone, e.g. (seed, "noise", step).

    A run that is continued needs no saved random state: each step opens its own streams.
    """
    digest = hashlib.sha256("/".join(str(part) for part in (seed, *path)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@dataclass(frozen=True)
class Prompts:
    """The instructions that fit, with their token ids; `too_long` were left out."""

    instructions: tuple[str, ...]
    ids: tuple[tuple[int, ...], ...]
    too_long: int
    seed: int

    def batch(self, step: int, size: int) -> list[int]:
        """Indices of step 0, 1, ...: consecutive pieces of an endless series of seeded permutations.

        Every prompt comes once per pass; a batch larger than the pool, or at its end, runs into the next pass.
        """
        count = len(self.ids)
        places = range(step * size, (step + 1) * size)
        passes = {place // count for place in places}
        orders = {p: torch.randperm(count, generator=stream(self.seed, "prompts", p)).tolist() for p in sorted(passes)}
        return [orders[place // count][place % count] for place in places]


def fitting(instructions: Sequence[str], ids: Sequence[Sequence[int]], longest: int, seed: int) -> Prompts:
    """Keep prompts of at most `longest` tokens. Raises SeamError when there are none, or for an empty one."""
    if not instructions:
        raise SeamError("PPO got no prompts; select at least one RL instruction.")
    empty = [number for number, text in enumerate(instructions, 1) if not text.strip()]
    if empty:
        raise SeamError(
            f"{len(empty)} of {len(instructions)} prompts are empty, number {empty[0]} first; leave them out of the RL "
            "data."
        )
    kept = [i for i, row in enumerate(ids) if 0 < len(row) <= longest]
    if not kept:
        raise SeamError(
            f"All {len(ids)} prompts are longer than {longest} tokens; raise rl.ppo.max_prompt_tokens, or use a base "
            "model with a longer context."
        )
    rows = tuple(tuple(ids[i]) for i in kept)
    return Prompts(tuple(instructions[i] for i in kept), rows, len(ids) - len(kept), seed)


def response_limits(generator: torch.Generator, rows: int, shortest: int, longest: int) -> Tensor:
    """Sampled response lengths [rows], uniform over shortest..longest tokens, both included (int64)."""
    return torch.randint(shortest, longest + 1, (rows,), generator=generator)


def length_groups(lengths: Sequence[int], most_rows: int, overhead: int = 32) -> list[list[int]]:
    """Split rows into groups of similar length that cost least; returns row indices, longest group first.

    A group costs rows * longest (padding included) plus `overhead` tokens for launching it; at most `most_rows` each.
    On a CPU PPO's update took 11% less with 32 (5 groups of 32 rows) than with 96 (3).
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    best, cut = [0] + [0] * len(order), [0] * (len(order) + 1)
    for end in range(1, len(order) + 1):
        starts = range(max(0, end - most_rows), end)
        costs = [best[start] + lengths[order[start]] * (end - start) + overhead for start in starts]
        cheapest = min(range(len(costs)), key=costs.__getitem__)
        best[end], cut[end] = costs[cheapest], starts[cheapest]
    groups, end = [], len(order)
    while end:
        groups.append(order[cut[end] : end])
        end = cut[end]
    return groups[::-1]
