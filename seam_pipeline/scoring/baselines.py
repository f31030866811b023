"""Selection baselines beside SEAM: one score per instruction; low = filtered first, null = why it has none."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..errors import SeamError
from .items import GOLDEN_INDEX

BASELINE_SCORES = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("reason", pa.string()),
    ]
)
"""One row per instruction; `reason` is null exactly where the score is not."""

WORSE_INDEX = 0
"""The worse response's `candidate_index` in the rewards of pairs; the golden one's is GOLDEN_INDEX."""
PAIR = (("golden", 0), ("worse", 1))
"""`candidate_index` of r+ and r- in the likelihoods of pairs."""

Floats = NDArray[np.float64]
Missing = Sequence[str]


def response_length(ids: Sequence[str], golden: Sequence[str | None]) -> pa.Table:
    """BASELINE_SCORES by the golden response's length in characters: short = low.

    Source: Zhao et al. 2024 (arXiv 2402.04833), who keep the longest responses. Decision: characters, so that the
    score belongs to the data and to no tokenizer. Null: an empty response.
    """
    lengths = np.array([float(len(text)) if text and text.strip() else np.nan for text in golden])
    return _table(ids, lengths, ["empty golden response"] * len(ids))


def golden_reward(rewards: pa.Table, ids: Sequence[str]) -> pa.Table:
    """BASELINE_SCORES by the RM score R(I, r) of the golden response: low reward = low.

    Source: SPEC.md, section 7 (the RM score as it stands). `rewards` is REWARDS, of which only the golden index
    (-1) is read. Null: no finite reward.
    """
    return _table(ids, *_values(rewards, "reward", GOLDEN_INDEX, ids, "golden response has no reward"))


def reward_variance(rewards: pa.Table, ids: Sequence[str]) -> pa.Table:
    """BASELINE_SCORES by the variance of the reward over the policy's own sampled answers: little variance = low.

    Source: Razin et al. 2025 (arXiv 2503.15477): where the reward hardly varies under the policy, the objective is
    flat and RL is slow, however accurate the reward model. The unbiased sample variance, in squared units of reward.
    `rewards` is REWARDS with the samples at index 0 and up. Null: fewer than two finite rewards.
    """
    row, value = _samples(rewards, ids)
    n = np.bincount(row, minlength=len(ids))
    squares = np.bincount(row, (value - _means(row, value, n)[row]) ** 2, len(ids))
    return _table(ids, np.where(n > 1, squares / np.maximum(n - 1, 1), np.nan), _too_few(rewards, ids, n, 2))


def pre_ppo(rewards: pa.Table, ids: Sequence[str]) -> pa.Table:
    """BASELINE_SCORES by minus the mean reward of the policy's own sampled answers: high reward = low.

    Source: Pre-PPO, Shen et al. 2025 (arXiv 2503.22230): prompts whose answers the reward model rates low before RL
    are the harder ones and less prone to reward hacking, and are kept. Decisions: the mean over the samples; they
    normalise within task domains, our RL data count as one domain; how many stay is the rate's business.
    `rewards` as in `reward_variance`. Null: no finite reward.
    """
    row, value = _samples(rewards, ids)
    n = np.bincount(row, minlength=len(ids))
    return _table(ids, -_means(row, value, n), _too_few(rewards, ids, n, 1))


def pf_ppo(rewards: pa.Table, ids: Sequence[str]) -> pa.Table:
    """BASELINE_SCORES by how extreme the rewards of the policy's own sampled answers are: middling = low.

    Source: PF-PPO, Zhang et al. 2024 (arXiv 2409.06957): a reward model is more reliable at the ends of its scale, so
    of several answers to a prompt the best and the worst are trained on. That chooses answers, not prompts.
    Decision: an instruction's score is the mean over its answers of |2F - 1|, F in (0, 1) being the mid-rank of the
    reward among all sampled answers of all instructions; near 0, all its answers lie in the unreliable middle.
    `rewards` as in `reward_variance`. Null: no finite reward.
    """
    row, value = _samples(rewards, ids)
    n = np.bincount(row, minlength=len(ids))
    return _table(ids, _means(row, np.abs(2 * _mid_ranks(value) - 1), n), _too_few(rewards, ids, n, 1))


def margin_gap(rewards: pa.Table, policy: pa.Table, base: pa.Table, ids: Sequence[str], beta: float) -> pa.Table:
    """BASELINE_SCORES by the alignment potential M_AP of the pair (r+, r-): little left to learn = low.

    Source: Huang et al. 2025 (arXiv 2503.01864): the explicit margin R(I, r+) - R(I, r-), which the reward model asks
    for, less the implicit margin, which the policy has: |beta * (log P/P_base(r+) - log P/P_base(r-))|; pairs with a
    large gap are kept. The implicit margin is absolute as in their released code. Decisions: their pairs are ordered
    by the reward model, ours by votes, so the explicit margin keeps its sign and misordered pairs are low; beta
    brings both to units of reward where they standardise, so that no row's score depends on the others.
    `rewards` is REWARDS with r+ at GOLDEN_INDEX and r- at WORSE_INDEX, `policy` and `base` are LIKELIHOODS with r+
    at 0 and r- at 1. Null: no r-, or one of the six numbers is missing.
    """
    parts = [
        _values(rewards, "reward", GOLDEN_INDEX, ids, "golden response has no reward"),
        _values(rewards, "reward", WORSE_INDEX, ids, "worse response has no reward"),
    ]
    for whose, table in (("policy", policy), ("base model", base)):
        parts += [
            _values(table, "loglik", k, ids, f"{r} response has no likelihood under the {whose}") for r, k in PAIR
        ]
    return gap_of_margins(ids, parts, beta)


def gap_of_margins(ids: Sequence[str], parts: Sequence[tuple[Floats, Missing]], beta: float) -> pa.Table:
    """`margin_gap` from its six columns [n] and why each is NaN.

    R(r+), R(r-), then log P of r+ and r- under the policy, then under the base model.
    """
    (good, bad, policy_good, policy_bad, base_good, base_bad), whys = zip(*parts, strict=True)
    with np.errstate(over="ignore", invalid="ignore"):
        gap = (good - bad) - np.abs(beta * ((policy_good - base_good) - (policy_bad - base_bad)))
    reasons = [
        next((w for column, w in zip(parts, why, strict=True) if np.isnan(column[0][place])), "its margins overflow")
        for place, why in enumerate(zip(*whys, strict=True))
    ]
    return _table(ids, gap, reasons)


def _table(ids: Sequence[str], scores: Floats, reasons: Missing) -> pa.Table:
    known = np.isfinite(scores)
    whys = [None if ok else why for ok, why in zip(known, reasons, strict=True)]
    columns = {"id": pa.array(ids, pa.string()), "score": pa.array(scores, pa.float64(), mask=~known), "reason": whys}
    return pa.table(columns, schema=BASELINE_SCORES)


def _means(row: NDArray[np.intp], value: Floats, n: NDArray[np.intp]) -> Floats:
    """Mean value per row [len(n)], NaN without one."""
    return np.where(n > 0, np.bincount(row, value, len(n)) / np.maximum(n, 1), np.nan)


def _mid_ranks(value: Floats) -> Floats:
    """F in (0, 1): the share of values below, plus half of the share of equal ones."""
    _, place, counts = np.unique(value, return_inverse=True, return_counts=True)
    return ((np.cumsum(counts) - counts / 2) / max(1, len(value)))[place]


def _rows(table: pa.Table, ids: Sequence[str]) -> NDArray[np.intp]:
    """The place of each row's id in `ids`. Raises SeamError for a stray id or a repeated (id, candidate_index)."""
    found = pc.index_in(table["id"], value_set=pa.array(ids, pa.string()))
    if found.null_count:
        stray = pc.filter(table["id"], pc.is_null(found))[0].as_py()
        raise SeamError(f"Baseline scores: id {stray!r} is not among the instructions; score the rows of this dataset.")
    row = found.to_numpy().astype(np.intp)
    pairs = np.stack([row, table["candidate_index"].to_numpy().astype(np.intp)], axis=1)
    unique, counts = np.unique(pairs, axis=0, return_counts=True)
    if len(unique) < len(pairs):
        place, index = unique[counts > 1][0]
        raise SeamError(f"Baseline scores: id {ids[place]!r} has candidate_index {index} twice; once each.")
    return row


def _finite(column: pa.ChunkedArray) -> Floats:
    """Float64, NaN for null and for infinity."""
    values = pc.fill_null(pc.cast(column, pa.float64()), float("nan")).to_numpy().astype(np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _values(table: pa.Table, column: str, index: int, ids: Sequence[str], what: str) -> tuple[Floats, list[str]]:
    """The column at one `candidate_index` by instruction, NaN where there is none, and what to say of it then."""
    part = table.filter(pc.equal(table["candidate_index"], index))
    row, values = _rows(part, ids), np.full(len(ids), np.nan)
    values[row] = _finite(part[column])
    whys = dict(zip(row.tolist(), part["reason"].to_pylist(), strict=True))
    is_worse = index == WORSE_INDEX and column == "reward"
    absent = "there is no worse response" if is_worse else f"{what}: it was not scored"
    return values, [f"{what}: {whys[n] or 'it is not finite'}" if n in whys else absent for n in range(len(ids))]


def _samples(rewards: pa.Table, ids: Sequence[str]) -> tuple[NDArray[np.intp], Floats]:
    """Instruction and reward of every sampled answer that has one."""
    part = rewards.filter(pc.greater_equal(rewards["candidate_index"], 0))
    row, value = _rows(part, ids), _finite(part["reward"])
    return row[np.isfinite(value)], value[np.isfinite(value)]


def _too_few(rewards: pa.Table, ids: Sequence[str], n: NDArray[np.intp], need: int) -> list[str]:
    """What to say of instructions with fewer than `need` rewards."""
    whys: dict[str, str] = {}
    if (n < need).any():
        part = rewards.filter(pc.and_(pc.greater_equal(rewards["candidate_index"], 0), pc.is_valid(rewards["reason"])))
        whys = dict(zip(part["id"].to_pylist()[::-1], part["reason"].to_pylist()[::-1], strict=True))
    wanted = "no sampled answer has a reward" if need == 1 else "a variance needs two rewards of sampled answers"
    return [f"{wanted}: {count} found ({whys.get(i, 'not sampled')})" for i, count in zip(ids, n.tolist(), strict=True)]
