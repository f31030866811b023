"""The instructions on which one pair is least seamless, with the texts that fool it."""

import math
from collections.abc import Mapping

import pyarrow as pa

from seam_pipeline.report.charts import Points, scatter
from seam_pipeline.report.figures import Figure, Panel

from ._finding import Excerpt, Finding, Row
from ._format import count, number, shorten
from ._names import cell_name, style_of, variant_name
from ._statistics import wilson
from ._tables import Cell, columns, count_nulls, score_map

_Scored = tuple[int, float, float, float, float]
"""candidate_index, log-likelihood per token, reward, golden reward, misjudgement."""


def worst_instructions(
    scores: pa.Table,
    candidate_scores: pa.Table,
    candidates: pa.Table,
    rl: pa.Table,
    *,
    pair: Cell,
    variant: str,
    form: str = "log",
    k: int = 5,
) -> Finding:
    """The `k` lowest scores of one pair, each with the candidate that contributes most to it under `form`.

    Takes SEAM_SCORES, CANDIDATE_SCORES, CANDIDATES and RL tables. A candidate's part is l * eps (log forms) or
    -exp(l) * eps (prob forms), SPEC section 6.
    """
    scored = score_map(scores, f"seam_{form}")
    order = sorted((i for i in scored if scored[i] < 0), key=lambda i: (scored[i], i))[:k]
    by_id = _by_id(candidate_scores)
    texts = {(i, n): text for i, n, text in columns(candidates, "id", "candidate_index", "candidate")}
    questions = {i: (q, a) for i, q, a in columns(rl, "id", "instruction", "golden_response")}
    offenders = {i: min(by_id[i], key=lambda c: (_part(c, form), c[0])) for i in order}
    all_scored = [c for found in by_id.values() for c in found]
    wrong = [c for c in all_scored if c[4] > 0]
    fooled = sum(any(c[4] > 0 for c in by_id.get(i, [])) for i in scored)
    share, candidate_share = wilson(fooled, len(scored)), wilson(len(wrong), len(all_scored))
    name = f"{cell_name(pair)}, {variant_name(variant)}"
    answer = (
        f"The reward model prefers a worse candidate over the golden answer for {fooled:,} of "
        f"{count(len(scored), 'instruction')} ({number(share.value, 0, percent=True)}) and for "
        f"{number(candidate_share.value, 0, percent=True)} of all candidates; the lowest score is "
        f"{number(scored[order[0]] if order else None)}."
    )
    return Finding(
        key="worst_instructions",
        title=f"The least seamless instructions ({name})",
        question="What does a pair's failure look like in words?",
        answer=answer,
        figure=Figure(
            (_panel(all_scored, list(offenders.values()), variant),),
            f"Scatter of candidates. {answer}",
            "Each point is a candidate. Above the dashed line the reward model rates it above the golden answer; "
            "further right the policy is likelier to write it.",
        ),
        columns=("instruction", "score", "candidate", "nats per token", "its reward", "golden reward", "misjudgement"),
        rows=tuple(_row(i, scored[i], offenders[i], questions) for i in order),
        n=len(scored),
        interval=f"Instructions with a misjudged candidate: {share.text(0, percent=True)}, Wilson.",
        paper="Cases of adversarial candidates only (section D.2, Fig. 9); no share given.",
        caveats=(f"Score form: {form}. Texts are quoted as they are, cut at 600 characters.",),
        nulls=count_nulls([scores], f"seam_{form}", "instruction without a score")
        | count_nulls([candidate_scores], "misjudgement", "candidate without a misjudgement"),
        excerpts=tuple(_excerpt(i, scored[i], offenders[i], texts, questions) for i in order),
        numbers={"fooled_share": share.value, "candidate_share": candidate_share.value},
    )  # fmt: skip


def _by_id(candidate_scores: pa.Table) -> dict[str, list[_Scored]]:
    found: dict[str, list[_Scored]] = {}
    names = ("id", "candidate_index", "loglik", "n_tokens", "reward", "golden_reward", "misjudgement")
    for identity, index, loglik, n_tokens, reward, golden, misjudged in columns(candidate_scores, *names):
        if misjudged is not None and loglik is not None and n_tokens:
            found.setdefault(identity, []).append((index, loglik / n_tokens, reward, golden, misjudged))
    return found


def _part(candidate: _Scored, form: str) -> float:
    _, per_token, _, _, misjudged = candidate
    if form.endswith("prob"):
        return -math.exp(per_token) * misjudged
    return per_token * misjudged


def _row(identity: str, score: float, offender: _Scored, questions: Mapping[str, tuple[str, str]]) -> Row:
    index, per_token, reward, golden, misjudged = offender
    return (shorten(questions.get(identity, ("?", ""))[0], 80), score, index, per_token, reward, golden, misjudged)


def _excerpt(
    identity: str,
    score: float,
    offender: _Scored,
    texts: Mapping[tuple[str, int], str | None],
    questions: Mapping[str, tuple[str, str]],
) -> Excerpt:
    index, per_token, reward, golden, _ = offender
    question, answer = questions.get(identity, ("(instruction not in the RL table)", ""))
    return Excerpt(
        f"Score {number(score)}",
        (
            ("Question", shorten(question, 600)),
            (f"Golden answer, reward {number(golden)}", shorten(answer, 600)),
            (
                f"Candidate {index}, reward {number(reward)}, {number(per_token)} nats per token",
                shorten(texts.get((identity, index)) or "(no text)", 600),
            ),
        ),
    )


def _panel(candidates: list[_Scored], offenders: list[_Scored], variant: str) -> Panel:
    groups = [
        Points(
            "candidates", [c[1] for c in candidates], [c[2] - c[3] for c in candidates], style_of(variant), faint=True
        )
    ]
    if offenders:
        groups.append(Points("quoted below", [c[1] for c in offenders], [c[2] - c[3] for c in offenders], 3))
    return scatter("worst", groups, x_label="log-likelihood per token (nats)", y_label="reward − golden reward",
                   title="Candidates of this pair", level=0.0)  # fmt: skip
