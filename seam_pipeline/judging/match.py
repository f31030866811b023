"""Does the reward model prefer the answer that is preferred? One outcome per pair of answers (paper, section 4.1)."""

from typing import Literal

import pyarrow as pa

Outcome = Literal["match", "mismatch", "tie", "reward tie", "no verdict", "no reward"]
OUTCOMES: tuple[Outcome, ...] = ("match", "mismatch", "tie", "reward tie", "no verdict", "no reward")
FIRST_INDEX, SECOND_INDEX = 1, 2
"""`candidate_index` of response_1 and response_2 in the rewards (see scoring.items.pair_items)."""


def reward_margins(rewards: pa.Table) -> dict[str, float | None]:
    """R(response_1) - R(response_2) by id, from REWARDS with the indices 1 and 2; None where a reward is missing."""
    found: dict[str, dict[int, float | None]] = {}
    for row in rewards.select(["id", "candidate_index", "reward"]).to_pylist():
        found.setdefault(row["id"], {})[row["candidate_index"]] = row["reward"]
    return {id_: _difference(both.get(FIRST_INDEX), both.get(SECOND_INDEX)) for id_, both in found.items()}


def outcomes(rewards: pa.Table, verdicts: pa.Table) -> dict[str, Outcome]:
    """Per id of VERDICTS: `match` or `mismatch` where both sides prefer one answer, else why there is neither."""
    margins = reward_margins(rewards)
    preferences = zip(verdicts["id"].to_pylist(), verdicts["preference"].to_pylist(), strict=True)
    return {id_: _outcome(preference, margins.get(id_)) for id_, preference in preferences}


def _difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def _outcome(preference: str | None, margin: float | None) -> Outcome:
    if preference is None:
        return "no verdict"
    if margin is None:
        return "no reward"
    if preference == "tie":
        return "tie"
    if margin == 0:
        return "reward tie"
    return "match" if (margin > 0) == (preference == "1") else "mismatch"
