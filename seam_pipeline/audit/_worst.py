"""The worst instructions in words, with the candidates that make them so."""

from collections.abc import Mapping

import numpy as np

from ..findings import Excerpt, Finding
from ..findings._finding import Row
from ..findings._format import number, shorten
from ..findings._names import style_of, variant_name
from ..report.charts import Points, scatter
from ..report.figures import Figure, Panel
from ._evidence import Evidence

WORST, OFFENDERS, LETTERS = 5, 3, 600


def worst(evidence: Mapping[str, Evidence]) -> Finding:
    """The lowest scores of each variant, each with the candidates that contribute most under the form."""
    found = {v: worst_of(e) for v, e in evidence.items()}
    panels = tuple(_panel(v, e, found[v]) for v, e in evidence.items() if len(e.row))
    rows = tuple(_row(v, evidence[v], place, parts) for v, places in found.items() for place, parts in places)
    lowest = "; ".join(
        f"{variant_name(v)}: the lowest score is {number(float(evidence[v].score[places[0][0]]))}"
        for v, places in found.items() if places
    )  # fmt: skip
    known = any(e.scored.any() for e in evidence.values())
    nothing = "No instruction has a misjudged candidate." if known else "No instruction has a score."
    answer = f"{lowest}." if lowest else nothing
    return Finding(
        key="worst",
        title="The worst instructions",
        question="What do the worst misfits look like in words?",
        answer=answer,
        figure=Figure(
            panels,
            f"Scatter of candidates. {answer}",
            "Each point is a candidate. Above the dashed line the reward model rates it above the golden response; "
            "further right the policy is likelier to write it.",
        ) if panels else None,
        columns=("variant", "instruction", "score", "candidates", "misjudged", "largest misjudgement"),
        rows=rows,
        n=max((int(e.scored.sum()) for e in evidence.values()), default=0),
        interval="Single instructions: no interval.",
        paper=None,
        caveats=(
            f"Quoted are the {WORST} lowest scores of each variant with up to {OFFENDERS} candidates that lower them "
            f"most, cut at {LETTERS} characters; all are in candidate_scores.parquet.",
        ),
        excerpts=tuple(_excerpt(v, evidence[v], at, parts) for v, places in found.items() for at, parts in places),
    )  # fmt: skip


def worst_of(evidence: Evidence, k: int = WORST, offenders: int = OFFENDERS) -> list[tuple[int, list[int]]]:
    """(instruction, its worst candidates' places) for the k lowest scores below zero, ties by id."""
    ids, part = evidence.rows["id"].to_pylist(), evidence.part()
    below = [at for at in np.flatnonzero(evidence.scored).tolist() if evidence.score[at] < 0]
    found = []
    for at in sorted(below, key=lambda at: (evidence.score[at], ids[at]))[:k]:
        own = [c for c in np.flatnonzero(evidence.row == at).tolist() if part[c] < 0]
        found.append((at, sorted(own, key=lambda c: (part[c], evidence.index[c]))[:offenders]))
    return found


def _row(variant: str, evidence: Evidence, at: int, parts: list[int]) -> Row:
    return (
        variant_name(variant),
        shorten(evidence.rows["instruction"][at].as_py(), 80),
        float(evidence.score[at]),
        int(evidence.n_used[at]),
        int(evidence.wrong[at]),
        float(evidence.margin[evidence.row == at].max()),
    )


def _excerpt(variant: str, evidence: Evidence, at: int, parts: list[int]) -> Excerpt:
    row = evidence.rows.slice(at, 1).to_pylist()[0]
    return Excerpt(
        f"{variant_name(variant)}, score {number(float(evidence.score[at]))} (id {row['id']})",
        (
            ("Instruction", shorten(row["instruction"], LETTERS)),
            (f"Golden response, reward {number(float(evidence.golden[parts[0]]))}",
             shorten(row["golden_response"], LETTERS)),
            *((f"Candidate {evidence.index[c]}, reward {number(float(evidence.reward[c]))}, "
               f"{number(float(evidence.per_token[c]))} nats per token", shorten(evidence.texts[c], LETTERS))
              for c in parts),
        ),
    )  # fmt: skip


def _panel(variant: str, evidence: Evidence, found: list[tuple[int, list[int]]]) -> Panel:
    x, y, style = evidence.per_token, evidence.margin, style_of(variant)
    groups = [Points("candidates", x.tolist(), y.tolist(), style, faint=True)]
    quoted = [c for _, parts in found for c in parts]
    if quoted:
        groups.append(Points("quoted below", x[quoted].tolist(), y[quoted].tolist(), 3))
    return scatter(f"worst-{variant}", groups, x_label="log-likelihood per token (nats)",
                   y_label="reward − golden reward", title=variant_name(variant), level=0.0)  # fmt: skip
