"""The match rate of a reward model with a preference (paper, section 4.1)."""

from collections import Counter
from typing import NamedTuple

import pyarrow as pa

from seam_pipeline.judging.match import OUTCOMES, outcomes

from ._statistics import Interval, wilson


class Match(NamedTuple):
    """`rate`: matches over matches and mismatches, Wilson interval; `counts`: every outcome of judging.match."""

    rate: Interval
    counts: dict[str, int]


def match(rewards: pa.Table, verdicts: pa.Table) -> Match:
    """Match of REWARDS (indices 1 and 2, see scoring.items.pair_items) with VERDICTS of the same pairs."""
    found = Counter(outcomes(rewards, verdicts).values())
    counts = {str(outcome): found[outcome] for outcome in OUTCOMES}
    return Match(wilson(counts["match"], counts["match"] + counts["mismatch"]), counts)


def match_rate(rewards: pa.Table, verdicts: pa.Table) -> Interval:
    """Share of the pairs on which both sides prefer one answer, and the same one; ties and nulls are left out."""
    return match(rewards, verdicts).rate
