"""What the community makes of an answer: noisy up-votes and one accepted answer."""

import random
from collections.abc import Sequence
from typing import NamedTuple

BITS_PER_POINT = 0.6
"""log2(1 + votes) per point of the perceived rating: 10 points are 63 votes."""
DISLIKED = 2.0
"""Below this perceived rating the votes are negative."""


class Verdict(NamedTuple):
    """Votes and acceptance of one answer."""

    votes: int
    accepted: bool


def vote(ratings: Sequence[float], noise: float, rng: random.Random) -> list[Verdict]:
    """Votes on the answers of one question: true rating plus Gaussian noise (sd `noise`, rating points)."""
    perceived = [rating + rng.gauss(0, noise) for rating in ratings]
    asker = [rating + rng.gauss(0, noise) for rating in ratings]
    best = asker.index(max(asker))
    accepts = asker[best] > 5 and rng.random() < 0.6
    return [Verdict(_votes(p), accepts and i == best) for i, p in enumerate(perceived)]


def _votes(perceived: float) -> int:
    if perceived < DISLIKED:
        return -max(1, round(DISLIKED - perceived))
    return round(2 ** (BITS_PER_POINT * perceived) - 1)
