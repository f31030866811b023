"""How likely the policy finds the candidates: the paper's Table 1."""

import itertools
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from seam_pipeline.candidates.sizes import set_sizes
from seam_pipeline.report.charts import Series, ladder
from seam_pipeline.report.figures import Figure

from ._finding import Finding, Table
from ._format import listing, number
from ._names import in_order, style_of, variant_name
from ._statistics import Interval, Significance, bootstrap, difference_interval, holm, p_text, ratio_rows, wilcoxon
from ._tables import columns, count_nulls, paired, small_sample

PAPER = {"llm": "−1.81", "contrast": "−3.07", "adversarial": "GA −9.32, BERT-Attack −9.17, PWWS −9.87"}
PAPER_ORDER = ("llm", "contrast", "adversarial")


def candidate_likelihoods(
    likelihoods: Mapping[str, Mapping[int, pa.Table]],
    rank: int | None = None,
    candidates: Mapping[str, pa.Table] | None = None,
    wanted: int = 30,
) -> Finding:
    """Mean of log P(candidate | instruction, policy) / tokens, in nats per token, from LIKELIHOODS by variant and rank.

    The mean is over candidates; intervals resample whole instructions. `rank` is the policy the sentence speaks of
    (default: the lowest rank number that every variant has). `candidates` are CANDIDATES by variant, of which the
    sets smaller than `wanted` are counted.
    """
    variants = in_order(likelihoods)
    ranks = sorted({r for tables in likelihoods.values() for r in tables})
    shared = set.intersection(*(set(likelihoods[v]) for v in variants)) if variants else set()
    top = rank if rank is not None else min(shared or ranks)
    means = {(v, r): mean_of(likelihoods[v][r]) for v in variants for r in ranks if r in likelihoods[v]}
    at_top = [v for v in variants if means.get((v, top)) is not None and means[v, top].value is not None]
    panel = ladder(
        "likelihoods",
        [str(r) for r in ranks],
        [Series(variant_name(v), [means.get((v, r)) for r in ranks], style_of(v)) for v in variants],
        x_label="policy rank",
        y_label="log-likelihood per token (nats)",
        title="Likelihood of the candidates",
    )
    ordered = sorted(at_top, key=lambda v: -(means[v, top].value or 0))
    gaps = {(a, b): _gap(likelihoods[a][top], likelihoods[b][top]) for a, b in itertools.combinations(at_top, 2)}
    adjusted = holm([test.p for _, test in gaps.values()])
    answer = _answer(ordered, gaps, means, top)
    n = min((means[v, top].n for v in at_top), default=0)
    return Finding(
        key="candidate_likelihoods",
        title="Table 1: likelihood of the candidate sets",
        question="Would the policy ever write the candidates that SEAM scores it on?",
        answer=answer,
        figure=Figure((panel,), f"Mean log-likelihood per token by policy rank and variant. {answer}"),
        columns=("variant", "policy rank", "nats per token", "95% CI", "instructions", "candidates", "paper (rank 1)"),
        rows=tuple(
            (
                variant_name(v),
                r,
                means[v, r].value,
                means[v, r].range_text(),
                means[v, r].n,
                _scored(likelihoods[v][r]),
                PAPER.get(v, "–") if r == 1 else "–",
            )
            for v in variants
            for r in ranks
            if (v, r) in means
        ),
        n=n,
        interval="; ".join(f"{variant_name(v)} {means[v, top].text()}" for v in ordered)
        + f"; policy rank {top}, bootstrap over instructions.",
        paper="GPT −1.81, Contrast −3.07, GA −9.32, BERT-Attack −9.17, PWWS −9.87 (Table 1, rank 1).",
        caveats=(
            "Nats per token depend on the tokenizer: compare the order with the paper's, not the values.",
            *small_sample(n, "instruction"),
            *_approximate(candidates or {}),
        ),
        nulls=_nulls(likelihoods),
        more=(*_contests(gaps, adjusted), *(_sizes(candidates, wanted) if candidates else ())),
        headline=None,
        numbers={f"{v}_rank{r}": interval.value for (v, r), interval in means.items()} | _numbers(gaps, adjusted),
    )


def _gap(ours: pa.Table, theirs: pa.Table) -> tuple[Interval, Significance]:
    """Difference of the instructions' mean nats per token, over the instructions of both, and Wilcoxon's test."""
    one, other = ({i: float(np.mean(x)) for i, x in _per_instruction(t).items()} for t in (ours, theirs))
    a, b = paired(one, other)
    return difference_interval(a - b), wilcoxon(a - b)


def _contests(
    gaps: Mapping[tuple[str, str], tuple[Interval, Significance]], adjusted: Sequence[float | None]
) -> tuple[Table, ...]:
    rows = tuple(
        (f"{variant_name(a)} less {variant_name(b)}", *gap.difference_cells(), p_text(p), gap.n)
        for ((a, b), (gap, _)), p in zip(gaps.items(), adjusted, strict=True)
    )
    columns = ("comparison", "nats per token", "95% CI", "d_z", "p (Holm)", "instructions")
    caption = "Which candidates are likelier? Paired over the instructions that both variants have, each counted alike"
    return (Table(caption, columns, rows),) if rows else ()


def _numbers(
    gaps: Mapping[tuple[str, str], tuple[Interval, Significance]], adjusted: Sequence[float | None]
) -> dict[str, float | None]:
    """`A_over_B` with `_low`, `_high`, `_n`, `_dz` and `_p` (Holm)."""
    found: dict[str, float | None] = {}
    for ((a, b), (gap, _)), p in zip(gaps.items(), adjusted, strict=True):
        name = f"{a}_over_{b}"
        found |= {name: gap.value, f"{name}_low": gap.low, f"{name}_high": gap.high, f"{name}_n": gap.n}
        found |= {f"{name}_dz": gap.dz, f"{name}_p": p}
    return found


def mean_of(likelihoods: pa.Table) -> Interval:
    """Mean over candidates of loglik / n_tokens; n counts instructions, which the bootstrap resamples."""
    gathered = _per_instruction(likelihoods)
    sums = np.array([sum(values) for values in gathered.values()], dtype=np.float64)
    sizes = np.array([len(values) for values in gathered.values()], dtype=np.float64)
    return bootstrap(ratio_rows, sums, sizes)


def _per_instruction(likelihoods: pa.Table) -> dict[str, list[float]]:
    gathered: dict[str, list[float]] = {}
    for identity, loglik, n_tokens in columns(likelihoods, "id", "loglik", "n_tokens"):
        if loglik is not None and n_tokens:
            gathered.setdefault(identity, []).append(loglik / n_tokens)
    return dict(sorted(gathered.items()))


def _scored(likelihoods: pa.Table) -> int:
    return sum(len(values) for values in _per_instruction(likelihoods).values())


def _sizes(candidates: Mapping[str, pa.Table], wanted: int) -> tuple[Table, ...]:
    rows = []
    for variant in in_order(candidates):
        sizes = set_sizes(candidates[variant], wanted)
        rows.append((variant_name(variant), sizes.instructions, sizes.short, sizes.empty, *sizes.quantiles))
    names = ("variant", "instructions", f"fewer than {wanted}", "none", "smallest", "25%", "median", "75%", "largest")
    return (Table("Candidates per instruction", names, tuple(rows)),)


def _approximate(candidates: Mapping[str, pa.Table]) -> Iterator[str]:
    for variant in in_order(candidates):
        known = candidates[variant].schema.metadata or {}
        if b"recall" in known:
            how, recall = known[b"index"].decode(), known[b"recall"].decode()
            yield f"{variant_name(variant)} neighbours are from an approximate index ({how}), measured recall {recall}."


def _nulls(likelihoods: Mapping[str, Mapping[int, pa.Table]]) -> dict[str, int]:
    counted: dict[str, int] = {}
    for variant in in_order(likelihoods):
        counted |= count_nulls(likelihoods[variant].values(), "loglik", f"{variant_name(variant)} candidate not scored")
    return counted


def _answer(
    ordered: list[str],
    gaps: Mapping[tuple[str, str], tuple[Interval, Significance]],
    means: Mapping[tuple[str, int], Interval],
    top: int,
) -> str:
    if not ordered:
        return "No candidate has a likelihood."
    text = " > ".join(f"{variant_name(v)} {number(means[v, top].value)}" for v in ordered)
    close = []
    for a, b in itertools.pairwise(ordered):
        gap, _ = gaps[a, b] if (a, b) in gaps else gaps[b, a]
        if not gap.excludes(0):
            close.append(f"{variant_name(a)} and {variant_name(b)}")
    known = [v for v in PAPER_ORDER if v in ordered]
    order = ""
    if len(known) > 1:
        same = known == [v for v in ordered if v in PAPER_ORDER]
        order = "; the paper's order" if same else "; not the paper's order"
    return f"Nats per token under policy rank {top}: {text}{order}" + (
        f" ({listing(close)} not separated at 95%)." if close else "."
    )
