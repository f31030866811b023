"""On the testbed, where the true quality of any text is known: does a low score predict a real mismatch?"""

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pyarrow as pa

from seam_pipeline.report.charts import forest
from seam_pipeline.report.figures import Figure

from ._finding import Finding
from ._format import count, listing, number
from ._names import cell_name, in_order, method_name, notes_on, style_of, variant_name
from ._prediction import FormContest, Prediction, corrected, predict, prob_against_log
from ._tables import Cell, columns, count_nulls, score_map, small_sample

FORMS = ("log", "prob", "mean_log", "mean_prob")
OF_SAMPLES = ("reward_variance", "pre_ppo", "pf_ppo")
"""Baselines whose evidence is the same sampled answers as the mismatch's."""


def truth(
    scores: Mapping[str, pa.Table],
    mismatch: pa.Table,
    *,
    pair: Cell,
    baselines: Mapping[str, pa.Table] | None = None,
    forms: tuple[str, ...] = FORMS,
    answers: pa.Table | None = None,
) -> Finding:
    """AUC and rank correlation of low scores with the pair's real mismatch on its own answers.

    `scores` are SEAM_SCORES of one pair by variant; `mismatch` has `id` and `mismatch` (see `mismatch_of_samples`; null
    where unknown); `baselines` are SELECTED tables of other methods (low score = filtered first); of the sampled
    `answers` those without a `reward` are counted by `reason`. A positive of the AUC is an instruction whose mismatch
    lies above the median. Both measures are of minus the score, so that AUC > 0.5 and correlation > 0 mean: a low score
    predicts mismatch. Mann-Whitney's p is corrected over all scores (Holm).
    """
    others = baselines or {}
    real = {i: m for i, m in columns(mismatch, "id", "mismatch") if m is not None}
    raw = [
        predict(f"{v}_{form}", variant_name(v), form, score_map(scores[v], f"seam_{form}"), real)
        for v in in_order(scores)
        for form in forms
    ]
    raw += [predict(m, method_name(m), "", score_map(others[m], "score"), real) for m in in_order(others)]
    found, contest = corrected(raw), prob_against_log(scores, real)
    styles = [style_of(v) for v in in_order(scores) for _ in forms] + [style_of(m) for m in in_order(others)]
    bars = [(one.label, one.auc, style) for one, style in zip(found, styles, strict=True)]
    n = max((one.auc.n for one in found), default=0)
    answer = _answer(found, contest)
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
        columns=("score", "form", "AUC", "95% CI", "effect (2 AUC − 1)", "p (Holm)", "rank correlation",
                 "95% CI of it", "n"),
        rows=tuple(one.row() for one in found),
        n=n,
        interval=f"{bars[0][0]}: AUC {bars[0][1].text()}, bootstrap over instructions." if bars else "–",
        paper="Not tested there: the paper has no truth to compare with; its humans disagree with the reward model on "
        "about 40% of pairs of the policies' answers (section 4.2).",
        caveats=(
            "The testbed's truth is a program's; it says whether the idea works there, not on real answers.",
            f"Mean mismatch {number(float(values.mean()) if len(values) else None, 2)}; one pair of models.",
            f"p is Mann-Whitney's, Holm-corrected over {count(len(found), 'score')}; intervals are not corrected.",
            *_caveats(others),
            *small_sample(n, "instruction"),
        ),
        nulls=_nulls(scores, others, mismatch, forms)
        | count_nulls([] if answers is None else [answers], "reward", "sampled answer without a reward"),
        more=contest.table(),
        headline=_headline(found),
        numbers={k: v for one in found for k, v in one.numbers().items()}
        | contest.numbers()
        | {"mean_mismatch": float(values.mean()) if len(values) else None},
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
    return counted | ({"instruction whose rewarded answers do not differ in quality": unknown} if unknown else {})


def _headline(found: list[Prediction]) -> tuple[str, str] | None:
    known = [one for one in found if one.form and one.auc.value is not None]
    return (
        (number(known[0].auc.value), f"AUC of {known[0].name} ({known[0].form}) for real mismatch; 0.5 is chance")
        if known
        else None
    )


def _answer(found: list[Prediction], contest: FormContest) -> str:
    known = [one for one in found if one.form and one.auc.value is not None]
    if not known:
        return "No instruction has both a score and a known mismatch: not testable."
    right = [one for one in known if one.right]
    wrong = [f"{one.label} ({number(one.auc.value)})" for one in known if one.significant and not one.right]
    best = max(right or known, key=lambda one: one.auc.value or 0)
    top = f"{best.label}, AUC {number(best.auc.value)}"
    if right:
        head = f"Yes for {len(right)} of {len(known)} scores, whose AUC is above chance (Holm); best {top}"
    else:
        head = f"No: none of {len(known)} scores is better than chance (Holm; best {top})"
    tail = f"; the wrong way round: {listing(wrong)}" if wrong else ""
    return f"{head}{tail}{_of_baselines(found)}; {contest.sentence}."


def _of_baselines(found: list[Prediction]) -> str:
    known = [one for one in found if not one.form and one.auc.value is not None]
    if not known:
        return ""
    right = [one for one in known if one.right]
    best = max(known, key=lambda one: one.auc.value or 0)
    above = f"{len(right)} of {len(known)}" if right else f"none of {len(known)}"
    return f"; of the baselines {above} above chance, best {best.name}, AUC {number(best.auc.value)}"
