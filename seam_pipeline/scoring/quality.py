"""Quality of a reward model: how often it prefers the better answer (paper, section C.2)."""

from typing import Any

import pyarrow as pa

from ..experiment import Scoring
from ..models.stack import RewardModel
from ..progress import Progress, silent
from ..tables import REWARD_QUALITY
from ._engine import Layout
from .items import Item
from .reward import score_rewards


def reward_quality(
    rm: RewardModel,
    pairs: pa.Table,
    progress: Progress = silent,
    *,
    tokens_per_batch: int = 8192,
    layout: Layout = "auto",
) -> pa.Table:
    """REWARD_QUALITY of PREFERENCE pairs, in their order; the accuracy is the mean of `correct`.

    correct = R(chosen) > R(rejected): a tie is a failure to prefer, so it is false. Each distinct answer of a
    question is scored once. Null with a reason when either reward is. `progress` counts questions.
    """
    rows = pairs.select(["id", "question_id", "instruction", "chosen", "rejected"]).to_pylist()
    answers: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        answers.setdefault((row["question_id"], row["instruction"]), {}).update(
            {row["chosen"]: None, row["rejected"]: None}
        )
    items = [Item(id_, text, tuple(found), tuple(range(len(found)))) for (id_, text), found in answers.items()]
    keys = [(item.id, item.instruction, answer) for item in items for answer in item.responses]
    settings = Scoring.model_validate({"tokens_per_batch": tokens_per_batch})
    scored = dict(zip(keys, score_rewards(rm, items, settings, progress, layout=layout).to_pylist(), strict=True))
    return pa.Table.from_pylist([_row(row, scored) for row in rows], schema=REWARD_QUALITY)


def _row(pair: dict[str, str], scored: dict[tuple[str, str, str], dict[str, Any]]) -> dict[str, Any]:
    sides = {name: scored[pair["question_id"], pair["instruction"], pair[name]] for name in ("chosen", "rejected")}
    rewards = {name: side["reward"] for name, side in sides.items()}
    reasons = [f"{name}: {side['reason']}" for name, side in sides.items() if side["reward"] is None]
    return {
        "id": pair["id"],
        "chosen_reward": rewards["chosen"],
        "rejected_reward": rewards["rejected"],
        "correct": None if reasons else rewards["chosen"] > rewards["rejected"],
        "reason": "; ".join(reasons) or None,
    }
