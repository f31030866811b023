"""On the testbed, where the true quality of any text is known: does a low score predict a real mismatch?"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pyarrow as pa

from seam_pipeline.report.charts import forest
from seam_pipeline.report.figures import Figure

from ._finding import Finding, Row
from ._format import listing, number
from ._names import cell_name, in_order, method_name, notes_on, style_of, variant_name
from ._statistics import Interval, auc_rows, bootstrap, spearman
from ._tables import Cell, columns, count_nulls, paired, score_map, small_sample

FORMS = ("log", "prob", "mean_log", "mean_prob")
BASELINE = "baseline"
OF_SAMPLES = ("reward_variance", "pre_ppo", "pf_ppo")
"""Baselines whose evidence is the same sampled answers as the mismatch's."""


def truth(
    scores: Mapping[str, pa.Table],
    mismatch: pa.Table,
    *,
    pair: Cell,
    baselines: Mapping[str, pa.Table] | None = None,
    forms: tuple[str, ...] = FORMS,
) -> Finding:
    """AUC and rank correlation of low scores with the pair's real mismatch on its own answers.

    `scores` are SEAM_SCORES of one pair by variant; `mismatch` has `id` and `mismatch` (see `mismatch_of_samples`; null
    where unknown); `baselines` are SELECTED tables of other methods (low score = filtered first). A positive of the AUC
    is an instruction whose mismatch lies above the median. Both measures are of minus the score, so that AUC > 0.5 and
    correlation > 0 mean: a low score predicts mismatch.
    """
    real = {i: m for i, m in columns(mismatch, "id", "mismatch") if m is not None}
    found: list[tuple[str, str, Interval, Interval]] = []
    for variant in in_order(scores):
        for form in forms:
            found.append((variant_name(variant), form, *_measure(score_map(scores[variant], f"seam_{form}"), real)))
    for method in in_order(baselines or {}):
        found.append((method_name(method), BASELINE, *_measure(score_map((baselines or {})[method], "score"), real)))
    styles = [style_of(v) for v in in_order(scores) for _ in forms] + [style_of(m) for m in in_order(baselines or {})]
    bars = [
        (name if form == BASELINE else f"{name} {form}", auc, style)
        for (name, form, auc, _), style in zip(found, styles, strict=True)
    ]
    n = max((auc.n for _, _, auc, _ in found), default=0)
    answer = _answer(found)
    values = np.array(list(real.values()))
    return Finding(
        key="truth",
        title=f"Truth ({cell_name(pair)})",
        question="Does a low score predict a real mismatch?",
        answer=answer,
        figure=Figure(
            (
                forest("truth", bars, x_label="AUC (share of right orderings)", title="Low score against real mismatch",
                       reference=(0.5, "chance")),
            ),
            f"AUC with 95% intervals per variant and form. {answer}",
            "Positive: instructions whose mismatch lies above the median.",
        ),
        columns=("score", "form", "AUC", "95% CI", "rank correlation", "95% CI of it", "n"),
        rows=tuple(_row(*one) for one in found),
        n=n,
        interval=f"{bars[0][0]}: AUC {bars[0][1].text()}, bootstrap over instructions." if bars else "–",
        paper="Not tested there: the paper has no truth to compare with; its humans disagree with the reward model on "
        "about 40% of pairs of the policies' answers (section 4.2).",
        caveats=(
            "The testbed's truth is a program's; it says whether the idea works there, not on real answers.",
            f"Mean mismatch {number(float(values.mean()) if len(values) else None, 2)}; one pair of models.",
            "Many scores are compared here; one interval in twenty misses by chance.",
            *_caveats(baselines or {}),
            *small_sample(n, "instruction"),
        ),
        nulls=_nulls(scores, baselines or {}, mismatch, forms),
        headline=_headline(found),
        numbers={f"auc_{name}_{form}": auc.value for name, form, auc, _ in found},
    )  # fmt: skip


def mismatch_of_samples(samples: pa.Table) -> pa.Table:
    """Real mismatch per instruction from the policy's own sampled answers (`id`, `reward`, `rating` the gold rating).

    The share of answer pairs with different gold ratings that the reward orders wrongly (reward ties: half); null where
    no two ratings differ. Returns `id`, `mismatch`, `n_pairs`.
    """
    gathered: dict[str, list[tuple[float, float]]] = {}
    for identity, reward, rating in columns(samples, "id", "reward", "rating"):
        known = gathered.setdefault(identity, [])
        if reward is not None and rating is not None:
            known.append((reward, rating))
    rows: list[tuple[str, float | None, int]] = []
    for identity, answers in gathered.items():
        wrong = [_wrong(a, b) for a, b in combinations(answers, 2) if a[1] != b[1]]
        rows.append((identity, float(np.mean(wrong)) if wrong else None, len(wrong)))
    ids, shares, sizes = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table(
        {
            "id": pa.array(ids, pa.string()),
            "mismatch": pa.array(shares, pa.float64()),
            "n_pairs": pa.array(sizes, pa.int64()),
        }
    )


def _wrong(a: tuple[float, float], b: tuple[float, float]) -> float:
    if a[0] == b[0]:
        return 0.5
    return float((a[0] > b[0]) != (a[1] > b[1]))


def _measure(scored: Mapping[str, float], real: Mapping[str, float]) -> tuple[Interval, Interval]:
    """AUC and Spearman of minus the score."""
    low, mismatch = paired({i: -s for i, s in scored.items()}, real)
    positive = (mismatch > np.median(mismatch)).astype(float) if len(mismatch) else mismatch
    return bootstrap(auc_rows, positive, low, resamples=1000), spearman(low, mismatch)


def _row(name: str, form: str, auc: Interval, rank: Interval) -> Row:
    return (
        name,
        form,
        auc.value,
        auc.range_text(),
        number(rank.value, signed=True),
        rank.range_text(signed=True),
        auc.n,
    )


def _caveats(baselines: Mapping[str, pa.Table]) -> tuple[str, ...]:
    own = [method_name(method) for method in in_order(baselines) if method in OF_SAMPLES]
    read = "reads" if len(own) == 1 else "read"
    shared = f"{listing(own)} {read} the rewards of the very answers whose mismatch is measured; no other score does."
    return (*((shared,) if own else ()), *notes_on(baselines))


def _nulls(
    scores: Mapping[str, pa.Table], baselines: Mapping[str, pa.Table], mismatch: pa.Table, forms: tuple[str, ...]
) -> dict[str, int]:
    counted: dict[str, int] = {}
    for variant in in_order(scores):
        counted |= count_nulls([scores[variant]], f"seam_{forms[0]}", f"{variant_name(variant)} score missing")
    for method in in_order(baselines):
        counted |= count_nulls([baselines[method]], "score", f"{method_name(method)} score missing")
    unknown = mismatch.column("mismatch").null_count
    return counted | ({"instruction whose sampled answers do not differ in quality": unknown} if unknown else {})


def _headline(found: list[tuple[str, str, Interval, Interval]]) -> tuple[str, str] | None:
    known = [one for one in found if one[1] != BASELINE and one[2].value is not None]
    if not known:
        return None
    name, form, auc, _ = known[0]
    return number(auc.value), f"AUC of {name} ({form}) for real mismatch; 0.5 is chance"


def _answer(found: list[tuple[str, str, Interval, Interval]]) -> str:
    known = [(f"{name} {form}", auc) for name, form, auc, _ in found if auc.value is not None and form != BASELINE]
    if not known:
        return "No instruction has both a score and a known mismatch: not testable."
    right = [(name, auc) for name, auc in known if auc.excludes(0.5) and (auc.value or 0) > 0.5]
    wrong = [f"{name} ({number(auc.value)})" for name, auc in known if auc.excludes(0.5) and (auc.value or 0) < 0.5]
    best, best_auc = max(right or known, key=lambda one: one[1].value or 0)
    top = f"{best}, AUC {number(best_auc.value)}"
    if right:
        head = f"Yes for {len(right)} of {len(known)} scores, whose AUC is above chance at 95%; best {top}"
    else:
        head = f"No: none of {len(known)} scores is better than chance at 95% (best {top})"
    tail = f"; the wrong way round: {listing(wrong)}" if wrong else ""
    return head + tail + _of_baselines(found) + "."


def _of_baselines(found: list[tuple[str, str, Interval, Interval]]) -> str:
    known = [(name, auc) for name, form, auc, _ in found if auc.value is not None and form == BASELINE]
    if not known:
        return ""
    right = [name for name, auc in known if auc.excludes(0.5) and (auc.value or 0) > 0.5]
    best, best_auc = max(known, key=lambda one: one[1].value or 0)
    above = f"{len(right)} of {len(known)}" if right else f"none of {len(known)}"
    return f"; of the baselines {above} above chance, best {best}, AUC {number(best_auc.value)}"
