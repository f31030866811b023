"""Bring your own policy, reward model, prompts and candidates: `seam score` and `seam_pipeline.score`."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..errors import SeamError
from ..experiment import Scoring
from ..models.stack import Policy, RewardModel, load_policy, load_reward
from ..progress import Progress, silent
from ..wholefile import write_whole
from ._engine import Layout
from ._own_data import read_own
from .items import items_of
from .likelihood import score_likelihoods
from .reward import score_rewards
from .seam import SeamTables, seam_scores

OWN_SCORING = Scoring.model_validate({"max_response_tokens": None})
"""Responses are scored whole unless the user says otherwise."""

SCORES = ["id", "seam_log", "seam_prob", "seam_mean_log", "seam_mean_prob", "n_candidates", "reason"]
CANDIDATE_SCORES = ["id", "candidate_index", "loglik", "n_tokens", "reward", "golden_reward", "misjudgement"]


def score_own(
    policy: str | Path,
    reward: str | Path,
    data: str | Path,
    candidates: str | Path,
    out: str | Path,
    settings: Scoring = OWN_SCORING,
    device: str = "cpu",
    progress: Progress = silent,
    *,
    layout: Layout = "auto",
    load_in: str | None = None,
) -> dict[str, Any]:
    """Score a user's candidates with a user's models; returns what `summary.json` holds.

    `data` has id, instruction, golden_response; `candidates` has id, candidate_index, candidate (parquet or JSONL).
    Writes `scores.parquet`, `candidate_scores.parquet`, `summary.json` (counts, nulls by reason, models, settings)
    and, when a candidate takes no part, `left_out.parquet` (id, candidate_index, reason) into the folder `out`,
    each file whole or not at all. `progress` counts instructions, once per model; `load_in` is a precision, or 4bit
    or 8bit (see `models.stack.load_policy`).
    Raises SeamError for input that `read_own` refuses, models that can't be loaded, and an unusable `out`.
    """
    rows, sets = read_own(Path(data), Path(candidates))
    folder = usable_folder(Path(out))

    half = _halves(progress)
    # One model in memory at a time.
    likelihoods = score_likelihoods(
        load_policy(policy, device, load_in), items_of(rows, sets), settings, half(0), layout=layout
    )
    both = items_of(rows, sets, golden=True)
    rewards = score_rewards(load_reward(reward, device, load_in), both, settings, half(1), layout=layout)
    found = seam_scores(likelihoods, rewards, rows["id"].to_pylist(), sets)

    parts = found.candidate_scores
    summary = {
        "policy": str(policy),
        "reward": str(reward),
        "data": str(data),
        "candidates_path": str(candidates),
        "device": device,
        "load_in": load_in,
        "settings": settings.model_dump(mode="json"),
        **counts(found.scores, parts, likelihoods, rewards),
    }
    write_scores(folder, found)
    write_whole(folder / "summary.json", lambda path: path.write_text(json.dumps(summary, indent=2) + "\n", "utf-8"))
    return summary


def score_rows(
    policy: Policy,
    rm: RewardModel,
    rows: pa.Table,
    sets: pa.Table,
    settings: Scoring = OWN_SCORING,
    progress: Progress = silent,
    *,
    layout: Layout = "auto",
) -> SeamTables:
    """`score_own` without files: tables as `given` and `read_own` return them, models that are loaded already."""
    half = _halves(progress)
    likelihoods = score_likelihoods(policy, items_of(rows, sets), settings, half(0), layout=layout)
    rewards = score_rewards(rm, items_of(rows, sets, golden=True), settings, half(1), layout=layout)
    return seam_scores(likelihoods, rewards, rows["id"].to_pylist(), sets)


def _halves(progress: Progress) -> Callable[[int], Progress]:
    return lambda number: lambda done, total: progress(number * total + done, 2 * total)


def write_scores(folder: Path, found: SeamTables) -> None:
    """`scores.parquet`, `candidate_scores.parquet` and, when a candidate takes no part, `left_out.parquet`."""
    parts = found.candidate_scores
    left_out = parts.filter(pc.is_valid(parts["reason"])).select(["id", "candidate_index", "reason"])
    write_whole(folder / "scores.parquet", lambda path: pq.write_table(found.scores.select(SCORES), path))
    write_whole(folder / "candidate_scores.parquet", lambda path: pq.write_table(parts.select(CANDIDATE_SCORES), path))
    if left_out.num_rows:
        write_whole(folder / "left_out.parquet", lambda path: pq.write_table(left_out, path))
    else:
        (folder / "left_out.parquet").unlink(missing_ok=True)


def counts(scores: pa.Table, parts: pa.Table, likelihoods: pa.Table, rewards: pa.Table) -> dict[str, Any]:
    """What was scored and what was not, for `summary.json`."""
    cut = pc.greater(likelihoods["prompt_cut"], 0)
    noted = pc.and_(pc.is_valid(rewards["reward"]), pc.is_valid(rewards["reason"]))
    return {
        "instructions": scores.num_rows,
        "instructions_scored": scores.num_rows - scores["seam_log"].null_count,
        "instructions_null": _by_reason(scores["reason"]),
        "candidates": parts.num_rows,
        "candidates_scored": parts["reason"].null_count,
        "candidates_left_out": _by_reason(parts["reason"]),
        "misjudged": pc.sum(pc.greater(parts["misjudgement"], 0.0)).as_py() or 0,
        "responses_truncated": pc.sum(likelihoods["truncated"]).as_py() or 0,
        "policy_prompts_cut": pc.sum(cut).as_py() or 0,
        "reward_prompts_cut": pc.sum(noted).as_py() or 0,
    }


def _by_reason(reasons: pa.ChunkedArray) -> dict[str, int]:
    return dict(sorted(Counter(why for why in reasons.to_pylist() if why is not None).items()))


def usable_folder(out: Path) -> Path:
    """The folder, made if need be. Raises SeamError when it can't be."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SeamError(f"{out} can't be used as the output folder ({error.strerror}); give another.") from error
    return out
