"""SEAM from Python, on rows in memory: load a pair, score, select.

Rows and candidates are lists of dicts, or any table that speaks Arrow (pyarrow, pandas, polars); results are pyarrow
tables. Every mistake in them is a `seam_pipeline.errors.SeamError` with one sentence.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa

from .errors import SeamError
from .experiment import Form, Method, Scoring
from .models.stack import Policy, RewardModel, load_policy, load_reward
from .progress import Progress, silent
from .scoring._own_data import DATA_COLUMNS, checked, given, in_memory
from .scoring.own import score_rows
from .scoring.seam import SeamTables
from .selection.select import select as select_rows

__all__ = ["Pair", "SeamTables", "load", "load_policy", "load_reward", "score", "select"]


@dataclass(frozen=True)
class Pair:
    """A policy and a reward model, loaded."""

    policy: Policy
    reward: RewardModel


def load(policy: str | Path, reward: str | Path, device: str = "cpu", dtype: str | None = None) -> Pair:
    """Load both models: HF folders, PEFT adapter folders, model folders of a study, or hub ids.

    `device` is auto, cpu, cuda or cuda:N; `dtype` is float32, bfloat16, float16, or 8bit or 4bit (bitsandbytes), by
    default the checkpoint's own. The reward model has one label.
    Raises SeamError for a model that can't be loaded whole.
    """
    return Pair(load_policy(policy, device, dtype), load_reward(reward, device, dtype))


def score(
    pair: Pair,
    rows: Any,
    candidates: Any,
    *,
    max_prompt_tokens: int | None = None,
    max_response_tokens: int | None = None,
    tokens_per_batch: int = 8192,
    progress: Progress = silent,
) -> SeamTables:
    """SEAM of every row under the pair: `.scores` (one row per id) and `.candidate_scores` (one per candidate).

    rows: id, instruction, golden_response. candidates: id, candidate and, if they are to be numbered otherwise than in
    their order, candidate_index; or a dict from id to texts. Low (very negative) scores are the seams. What could not
    be scored is null and `reason` says why: an empty response, one that fills the positions, a non-finite reward, no
    candidates (an id with an empty list). Prompts are cut on the left, responses on the right, neither by default;
    `tokens_per_batch` changes speed and memory only; `progress` counts instructions, once per model.
    Raises SeamError for missing columns, repeated ids, ids on one side only, and columns that are not text.
    """
    table, sets = given(rows, candidates)
    settings = Scoring.model_validate(
        {
            "max_prompt_tokens": max_prompt_tokens,
            "max_response_tokens": max_response_tokens,
            "tokens_per_batch": tokens_per_batch,
        }
    )
    return score_rows(pair.policy, pair.reward, table, sets, settings, progress)


def select(
    rows: Any,
    scores: Any = None,
    *,
    method: Method | str = "seam",
    rate: float = 0.2,
    form: Form = "log",
    seed: int = 0,
    **evidence: Any,
) -> pa.Table:
    """Which rows stay: id, kept, score, reason in the rows' order; low scores are filtered first, nulls are kept.

    `method` seam needs `scores` (`score(...).scores`); random, length, perplexity and the other baselines are those of
    `seam_pipeline.selection.select`, which takes further `evidence` tables by name. `rate` is the share filtered out.
    Raises SeamError for a missing or repeated id, a rate outside (0, 1), and evidence that is missing.
    """
    if not 0 < rate < 1:
        raise SeamError(f"rate {rate} is not between 0 and 1; 0.2 filters a fifth of the rows out.")
    table = in_memory(rows, "rows")
    needed = ("id", "golden_response") if method == "length" else ("id",)
    table = checked(table, [name for name in DATA_COLUMNS if name in table.column_names or name in needed], "rows")
    if form not in get_args(Form):
        raise SeamError(f"form {form!r} is unknown; use one of {', '.join(get_args(Form))}.")
    if method == "seam":
        if scores is None:
            raise SeamError("select by seam needs scores; give score(...).scores.")
        method, evidence = "seam_contrast", {**evidence, "seam_scores": scores}
    found = {name: _by_text_id(in_memory(one, name), name) for name, one in evidence.items()}
    return select_rows(method, table, rate, form=form, seed=seed, **found)  # type: ignore[arg-type]


def _by_text_id(table: pa.Table, what: str) -> pa.Table:
    """The same table with its ids as text, as the rows' are."""
    ids = checked(table, ["id"], what)["id"]
    return table.set_column(table.column_names.index("id"), "id", ids)
