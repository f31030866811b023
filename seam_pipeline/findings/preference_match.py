"""Fig. 4: does the reward model prefer the answer that is preferred?"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from seam_pipeline.judging.match import OUTCOMES, outcomes, reward_margins
from seam_pipeline.judging.pairwise import DISAGREE
from seam_pipeline.report.charts import Points, Series, ladder, scatter
from seam_pipeline.report.figures import Figure, Panel

from ._finding import Finding, Row, Table
from ._format import count, listing, number
from ._match import match
from ._statistics import Interval, spearman, wilson
from ._tables import columns, count_nulls, judge_caveats, small_sample

BINS = ("smallest quarter", "second", "third", "largest quarter")
_STYLE = {"match": 0, "mismatch": 1}
PAPER = (
    "Match 60.5% on 1,000 instructions, policy ranks 1 and 5, reward model rank 1, human annotators (Fig. 4, Tab. 2); "
    "35% mismatch in the abstract, about 40% in section 4.2."
)


def preference_match(
    answers: pa.Table,
    rewards: pa.Table,
    verdicts: pa.Table,
    *,
    reward_rank: int = 1,
    quality: pa.Table | None = None,
    gold: Mapping[str, float] | None = None,
) -> Finding:
    """Match rate of one reward model with a preference between two policies' answers.

    PREFERENCE_ANSWERS, REWARDS (index 1 and 2) and VERDICTS of the same ids; `quality` is REWARD_QUALITY of the same
    reward model; `gold` is the true rating of response_1 less that of response_2 by id, where it is known. Ties and
    missing verdicts or rewards count neither way.
    """
    found = match(rewards, verdicts)
    by_id = outcomes(rewards, verdicts)
    margins = {i: m for i, m in reward_margins(rewards).items() if m is not None}
    decided = {i: o == "match" for i, o in by_id.items() if o in _STYLE}
    preferred = dict(columns(verdicts, "id", "preference"))
    first = wilson(sum(preferred[i] == "1" for i in decided), len(decided))
    bins = _by_margin(decided, margins)
    true = _against_gold(margins, gold)
    own = _accuracy(quality)
    policies = tuple(answers[name][0].as_py() for name in ("policy_1", "policy_2"))
    answer = _answer(found.rate, first, own, policies, reward_rank, bins) if found.rate.n else _undecided(found.counts)
    return Finding(
        key="preference_match",
        title="Figure 4: reward model and preference",
        question="Does the reward model prefer the policies' answer that is preferred?",
        answer=answer,
        figure=_figure(by_id, margins, rewards, gold, bins, answer),
        columns=("pairs", "match rate", "95% CI", "n"),
        rows=(
            _row("all", found.rate),
            *(_row(f"reward margin: {name}", rate) for name, rate in bins),
            *(_row(f"policy {policy} preferred", _rate(decided, {i for i in decided if preferred[i] == side}))
              for policy, side in zip(policies, ("1", "2"), strict=True)),
            _row(f"baseline: always policy {policies[0]}", first),
            *([_row("the reward model on its own test pairs", own)] if own.n else []),
            ("baseline: chance", "50.0%", "–", None),
        ),
        n=found.rate.n,
        interval=f"Match rate {found.rate.text(1, percent=True)}, Wilson's interval over pairs with a preference."
        + (f" Rank correlation of reward and true rating differences {true.text()}." if true.n else ""),
        paper=PAPER,
        caveats=(
            *judge_caveats([verdicts]),
            *(small_sample(found.rate.n, "pair") if found.rate.n else ()),
        ),
        nulls=count_nulls([verdicts], "preference", "pair without a verdict")
        | count_nulls([rewards], "reward", "answer without a reward"),
        unit="pair with a preference",
        more=(_outcomes(found.counts, verdicts), *_order(verdicts)),
        headline=(number(found.rate.value, 1, percent=True), "match of reward model and preference; 50% is chance")
        if found.rate.n else None,
        numbers={"match_rate": found.rate.value, "match_low": found.rate.low, "match_high": found.rate.high,
                 "match_n": found.rate.n,
                 "always_first": first.value, "accuracy": own.value, "spearman_with_gold": true.value},
    )  # fmt: skip


def _row(name: str, rate: Interval) -> Row:
    return (name, number(rate.value, 1, percent=True), rate.range_text(1, percent=True), rate.n)


def _accuracy(quality: pa.Table | None) -> Interval:
    known = [] if quality is None else [right for right in quality["correct"].to_pylist() if right is not None]
    return wilson(sum(known), len(known))


def _rate(decided: Mapping[str, bool], ids: set[str]) -> Interval:
    return wilson(sum(decided[i] for i in ids), len(ids))


def _by_margin(decided: Mapping[str, bool], margins: Mapping[str, float]) -> list[tuple[str, Interval]]:
    """Match rate by quarter of |reward difference|; nothing below two pairs a quarter."""
    ordered = sorted(decided, key=lambda i: (abs(margins[i]), i))
    if len(ordered) < 2 * len(BINS):
        return []
    parts = np.array_split(np.arange(len(ordered)), len(BINS))
    return [(name, _rate(decided, {ordered[k] for k in part})) for name, part in zip(BINS, parts, strict=True)]


def _against_gold(margins: Mapping[str, float], gold: Mapping[str, float] | None) -> Interval:
    shared = sorted(margins.keys() & (gold or {}).keys())
    if not shared or gold is None:
        return Interval(None, None, None, 0)
    return spearman([margins[i] for i in shared], [gold[i] for i in shared])


def _outcomes(counts: Mapping[str, int], verdicts: pa.Table) -> Table:
    """Every pair is in one row; ties are told apart by their reason."""
    whys = Counter((why or "so judged").split(":")[0] for _, why in _with(verdicts, "tie"))
    rows: list[Row] = []
    for outcome in OUTCOMES:
        rows.append((outcome, counts[outcome]))
        if outcome == "tie":
            rows += [(f"of these: {why}", n) for why, n in sorted(whys.items())]
    return Table("What became of each pair; the match rate counts the first two", ("outcome", "pairs"), tuple(rows))


def _order(verdicts: pa.Table) -> tuple[Table, ...]:
    """Position bias: how often the orders disagree, and which place won then; nothing where they never did."""
    found = Counter(why for _, why in _with(verdicts, "tie") if why and why.startswith(DISAGREE))
    n = verdicts.num_rows - verdicts["preference"].null_count
    rows = [(why, k, number(k / n, 1, percent=True)) for why, k in sorted(found.items(), key=lambda x: (-x[1], x[0]))]
    caption = "Position bias: pairs whose two orders got different verdicts (counted as ties)"
    return (Table(caption, ("what", "pairs", "of the pairs judged"), tuple(rows)),) if rows else ()


def _with(verdicts: pa.Table, preference: str) -> list[tuple[str, str | None]]:
    return [(i, why) for i, p, why in columns(verdicts, "id", "preference", "reason") if p == preference]


def _figure(
    by_id: Mapping[str, str],
    margins: Mapping[str, float],
    rewards: pa.Table,
    gold: Mapping[str, float] | None,
    bins: Sequence[tuple[str, Interval]],
    answer: str,
) -> Figure | None:
    panels = [_scatter(by_id, margins, rewards, gold)] if margins else []
    if bins:
        panels.append(ladder("match-by-margin", [name for name, _ in bins], [Series("match", [r for _, r in bins])],
                             x_label="size of the reward difference", y_label="match rate", title="Match by margin",
                             reference=(0.5, "chance"), percent=True))  # fmt: skip
    return Figure(tuple(panels), f"Scatter of two answers per instruction. {answer}") if panels else None


def _scatter(
    by_id: Mapping[str, str], margins: Mapping[str, float], rewards: pa.Table, gold: Mapping[str, float] | None
) -> Panel:
    """True rating difference over reward difference; without a truth, the two rewards, as in the paper."""
    reward = {(i, k): r for i, k, r in columns(rewards, "id", "candidate_index", "reward")}

    def place(i: str) -> tuple[float, float]:
        return (margins[i], gold[i]) if gold is not None else (reward[i, 1], reward[i, 2])

    groups = []
    for name, kinds, style in (("match", ("match",), 0), ("mismatch", ("mismatch",), 1), ("tie", ("tie",), 6)):
        points = [place(i) for i, outcome in by_id.items() if outcome in kinds and i in margins]
        if points:
            x, y = zip(*points, strict=True)
            groups.append(Points(f"{name} ({len(points):,})", x, y, style, faint=True))
    if gold is not None:
        return scatter("preference", groups, x_label="reward of answer 1 less answer 2",
                       y_label="true rating difference", title="Reward and truth", level=0.0)  # fmt: skip
    return scatter("preference", groups, x_label="reward of answer 1", y_label="reward of answer 2",
                   title="Rewards of both answers")  # fmt: skip


def _undecided(counts: Mapping[str, int]) -> str:
    found = listing([f"{outcome} {n:,}" for outcome, n in counts.items() if n])
    return f"No pair has both a preference and a reward difference ({found or 'no pairs'}): nothing to compare."


def _answer(
    rate: Interval,
    first: Interval,
    own: Interval,
    policies: tuple[int, ...],
    reward_rank: int,
    bins: Sequence[tuple[str, Interval]],
) -> str:
    assert rate.value is not None
    above = "above chance" if rate.excludes(0.5) and rate.value > 0.5 else "below chance" if rate.excludes(0.5) else (
        "not separated from chance"
    )  # fmt: skip
    text = (
        f"Reward model {reward_rank} agrees with the preference between policies {policies[0]} and {policies[1]} on "
        f"{number(rate.value, 1, percent=True)} of {count(rate.n, 'pair')} ({above} at 95%; mismatch "
        f"{number(1 - rate.value, 1, percent=True)}); always naming policy {policies[0]} agrees on "
        f"{number(first.value, 1, percent=True)}"
    )
    if own.n:
        text += f"; on its own test pairs the reward model is right on {number(own.value, 1, percent=True)}"
    if bins:
        text += (
            f"; by size of the reward difference from {number(bins[0][1].value, 0, percent=True)} (smallest quarter) "
            f"to {number(bins[-1][1].value, 0, percent=True)} (largest)"
        )
    return text + "."
