"""From a method's name to the rows that it keeps."""

from collections import Counter
from collections.abc import Mapping
from typing import get_args

import pyarrow as pa

from ..errors import SeamError
from ..experiment import MATCHED, VARIANT_OF_METHOD, Form, Method
from ..tables import SELECTED
from ._evidence import Scores, by_baseline, by_chance, by_length, by_perplexity, by_seam
from ._lowest import lowest_out
from ._matched import as_many_at_random, matched

BASELINES = ("reward", "reward_variance", "pre_ppo", "pf_ppo", "margin_gap")
"""Methods whose scores `scoring.baselines` makes, each by the function of its name (`reward`: `golden_reward`)."""


def select(
    method: Method,
    rl_train: pa.Table,
    rate: float,
    *,
    seam_scores: pa.Table | None = None,
    form: Form | None = None,
    perplexities: pa.Table | None = None,
    baseline: pa.Table | None = None,
    outcomes: Mapping[str, str] | None = None,
    seed: int = 0,
) -> pa.Table:
    """Keep all but `rate` of the RL train rows (SELECTED, in their order).

    Every method but `full` filters floor(rate * rows + 1/2) rows, fewer only when fewer have a score: a null score
    is never filtered by score, its row is kept and says why. Low scores go first, ties by a hash of the id.
    `seam_*` needs `seam_scores` (SEAM_SCORES of its variant; `form` is log unless given), `perplexity` needs
    `perplexities`, `reward`, `reward_variance`, `pre_ppo`, `pf_ppo` and `margin_gap` need `baseline`
    (BASELINE_SCORES); `random` depends on `seed` and the ids alone, `length` on the golden responses. `matched` and
    `matched_random` need `outcomes` (judging.match) and take no rate: out go the mismatches, or as many at random.
    Raises SeamError when evidence is missing, as a table or for a row, or when an id appears twice.
    """
    ids = rl_train["id"].to_pylist()
    if len(set(ids)) < len(ids):
        twice = Counter(ids).most_common(1)[0][0]
        raise SeamError(f"RL rows: id {twice!r} appears twice; ids must be unique.")
    if method == "full":
        n = len(ids)
        return pa.table({"id": ids, "kept": [True] * n, "score": [None] * n, "reason": [None] * n}, schema=SELECTED)
    if method in MATCHED:
        if outcomes is None:
            raise SeamError(f"Selection by {method} needs a preference of two policies' answers; collect it first.")
        return matched(ids, outcomes) if method == "matched" else as_many_at_random(ids, outcomes, seed)
    scores, reasons = _evidence(method, rl_train, ids, seam_scores, form or "log", perplexities, baseline, seed)
    return lowest_out(ids, scores, reasons, rate)


def _evidence(
    method: Method,
    rl_train: pa.Table,
    ids: list[str],
    seam_scores: pa.Table | None,
    form: Form,
    perplexities: pa.Table | None,
    baseline: pa.Table | None,
    seed: int,
) -> Scores:
    if method == "length":
        return by_length(rl_train)
    if method in BASELINES:
        if baseline is None:
            raise SeamError(f"Selection by {method} needs its baseline scores; compute them first.")
        return by_baseline(ids, baseline)
    if method == "random":
        return by_chance(ids, seed)
    if method == "perplexity":
        if perplexities is None:
            raise SeamError("Selection by perplexity needs the base model's perplexities; compute them first.")
        return by_perplexity(ids, perplexities)
    if method not in VARIANT_OF_METHOD:
        raise SeamError(f"Selection method {method!r} is unknown; use one of {', '.join(get_args(Method))}.")
    if seam_scores is None:
        raise SeamError(f"Selection by {method} needs the SEAM scores of its candidates; compute them first.")
    return by_seam(ids, seam_scores, form)
