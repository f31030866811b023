"""From a method's name to the rows that it keeps."""

import pyarrow as pa

from ..errors import SeamError
from ..experiment import VARIANT_OF_METHOD, Form, Method
from ..tables import SELECTED
from ._evidence import Scores, by_chance, by_perplexity, by_seam
from ._lowest import lowest_out


def select(
    method: Method,
    rl_train: pa.Table,
    rate: float,
    *,
    seam_scores: pa.Table | None = None,
    form: Form | None = None,
    perplexities: pa.Table | None = None,
    seed: int = 0,
) -> pa.Table:
    """Keep all but `rate` of the RL train rows (SELECTED, in their order).

    Every method but `full` filters floor(rate * rows + 1/2) rows, fewer only when fewer have a score: a null score
    is never filtered by score, its row is kept and says why. Low scores go first, ties by a hash of the id.
    `seam_*` needs `seam_scores` (SEAM_SCORES of its variant; `form` is log unless given), `perplexity` needs
    `perplexities`; `random` depends on `seed` and the ids alone.
    Raises SeamError when evidence is missing, as a table or for a row, or when an id appears twice.
    """
    ids = rl_train["id"].to_pylist()
    if len(set(ids)) < len(ids):
        twice = next(id_ for place, id_ in enumerate(ids) if id_ in ids[:place])
        raise SeamError(f"RL rows: id {twice!r} appears twice; ids must be unique.")
    if method == "full":
        n = len(ids)
        return pa.table({"id": ids, "kept": [True] * n, "score": [None] * n, "reason": [None] * n}, schema=SELECTED)
    scores, reasons = _evidence(method, ids, seam_scores, form or "log", perplexities, seed)
    return lowest_out(ids, scores, reasons, rate)


def _evidence(
    method: Method,
    ids: list[str],
    seam_scores: pa.Table | None,
    form: Form,
    perplexities: pa.Table | None,
    seed: int,
) -> Scores:
    if method == "random":
        return by_chance(ids, seed)
    if method == "perplexity":
        if perplexities is None:
            raise SeamError("Selection by perplexity needs the base model's perplexities; compute them first.")
        return by_perplexity(ids, perplexities)
    if method not in VARIANT_OF_METHOD:
        raise SeamError(
            f"Selection method {method!r} is unknown; use full, random, perplexity or {', '.join(VARIANT_OF_METHOD)}."
        )
    if seam_scores is None:
        raise SeamError(f"Selection by {method} needs the SEAM scores of its candidates; compute them first.")
    return by_seam(ids, seam_scores, form)
