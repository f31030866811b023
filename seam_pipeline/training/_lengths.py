"""Batches of similar length."""

import random
from collections.abc import Iterator, Sequence
from itertools import chain

from torch.utils.data import Sampler


class LengthGroups(Sampler[int]):
    """Every example once an epoch, in batches of similar length that come in random order; a rest comes last."""

    POOL = 8

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = list(lengths)
        self.batch_size = batch_size
        self.random = random.Random(seed)

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        order = self.random.sample(range(len(self)), len(self))
        whole = len(order) - len(order) % self.batch_size
        pool = self.POOL * self.batch_size
        batches: list[list[int]] = []
        for start in range(0, whole, pool):
            rows = sorted(order[start : min(start + pool, whole)], key=self.lengths.__getitem__)
            batches += [rows[at : at + self.batch_size] for at in range(0, len(rows), self.batch_size)]
        self.random.shuffle(batches)
        return chain(*batches, order[whole:])
