"""Fig. 4: does the reward model prefer the answer that is preferred?"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import stats

from seam_pipeline.judging.match import OUTCOMES, outcomes, reward_margins
from seam_pipeline.judging.pairwise import DISAGREE
from seam_pipeline.report.charts import NARROW, WIDE, Points, Series, ladder, scatter
from seam_pipeline.report.figures import Figure, Panel

from ._accuracy import accuracy_of
from ._finding import Finding, Row, Table
from ._format import count, listing, number
from ._match import Match, match
from ._statistics import Interval, spearman, wilson
from ._tables import columns, count_nulls, judge_caveats, small_sample

PAPER_RATE = 0.65
"""The abstract's match rate: mismatch with 35% of the preferences."""
BINS = ("smallest quarter", "second", "third", "largest quarter")
_SIDES = {"1": 1.0, "tie": 0.0, "2": -1.0}
"""Height in the scatter by preference."""
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
    decided = {i: o == "match" for i, o in by_id.items() if o in ("match", "mismatch")}
    preferred = dict(columns(verdicts, "id", "preference"))
    first = wilson(sum(preferred[i] == "1" for i in decided), len(decided))
    bins = _by_margin(decided, margins)
    true = _against_gold(margins, gold)
    own = Interval(None, None, None, 0) if quality is None else accuracy_of(quality)
    longer = _by_length(decided, preferred, answers)
    policies = tuple(answers[name][0].as_py() for name in ("policy_1", "policy_2"))
    answer = _answer(found.rate, first, own, policies, reward_rank, bins) if found.rate.n else _undecided(found.counts)
    return Finding(
        key="preference_match",
        title="Figure 4: reward model and preference",
        question="Does the reward model prefer the policies' answer that is preferred?",
        answer=answer,
        figure=_figure(by_id, preferred, margins, gold, bins, answer),
        columns=("pairs", "match rate", "95% CI", "n"),
        rows=(
            _row("all", found.rate),
            *(_row(f"reward margin: {name}", rate) for name, rate in bins),
            *(_row(f"policy {policy} preferred", _rate(decided, {i for i in decided if preferred[i] == side}))
              for policy, side in zip(policies, ("1", "2"), strict=True)),
            _row(f"baseline: always policy {policies[0]}", first),
            *([_row("baseline: always the longer answer", longer)] if longer.n else []),
            *([_row("the reward model on its own test pairs (n: their questions)", own)] if own.n else []),
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
        unit="decided pair",
        more=(_outcomes(found.counts, verdicts), *_order(verdicts)),
        headline=(number(found.rate.value, 1, percent=True), "match of reward model and preference; 50% is chance")
        if found.rate.n else None,
        numbers={"match_rate": found.rate.value, "match_low": found.rate.low, "match_high": found.rate.high,
                 "match_n": found.rate.n,
                 "match_rate_p": _p_of(found), "match_rate_h": _h_of(found.rate),
                 "always_first": first.value, "always_longer": longer.value,
                 "accuracy": own.value, "spearman_with_gold": true.value},
    )  # fmt: skip


def _p_of(found: Match) -> float | None:
    """Exact two-sided p of the match rate against the paper's 65% (35% mismatch)."""
    if not found.rate.n:
        return None
    return float(stats.binomtest(found.counts["match"], found.rate.n, PAPER_RATE).pvalue)


def _h_of(rate: Interval) -> float | None:
    """Cohen's h against the paper's 65%: the difference of the angles 2 asin sqrt(p)."""
    if rate.value is None:
        return None
    return 2 * (math.asin(math.sqrt(rate.value)) - math.asin(math.sqrt(PAPER_RATE)))


def _row(name: str, rate: Interval) -> Row:
    return (name, number(rate.value, 1, percent=True), rate.range_text(1, percent=True), rate.n)


def _by_length(decided: Iterable[str], preferred: Mapping[str, str], answers: pa.Table) -> Interval:
    """How often the preferred answer is the one with more words, over the pairs that differ in them."""
    texts = columns(answers, "id", "response_1", "response_2")
    more = {i: len(a.split()) - len(b.split()) for i, a, b in texts if a is not None and b is not None}
    apart = [i for i in decided if more.get(i)]
    return wilson(sum((more[i] > 0) == (preferred[i] == "1") for i in apart), len(apart))


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
    preferred: Mapping[str, str | None],
    margins: Mapping[str, float],
    gold: Mapping[str, float] | None,
    bins: Sequence[tuple[str, Interval]],
    answer: str,
) -> Figure | None:
    size = NARROW if bins and gold is not None else WIDE
    heights = {i: _SIDES[side] + 0.6 * (_spread(n) - 0.5) for n, (i, side) in enumerate(preferred.items()) if side}
    panels = [_scatter("preference", by_id, margins, heights, "preferred answer", "Reward and preference", size=size,
                       y_ticks=((1.0, "answer 1"), (0.0, "tie"), (-1.0, "answer 2")))]  # fmt: skip
    if bins:
        names, line = [name.removesuffix(" quarter") for name, _ in bins], Series("match", [rate for _, rate in bins])
        panels.append(ladder("match-by-margin", names, [line], x_label="quarter by size of the difference",
                             y_label="match rate", title="Match by margin", reference=(0.5, "chance"), percent=True,
                             size=size))  # fmt: skip
    if gold is not None:
        panels.append(_scatter("preference-truth", by_id, margins, gold, "true rating difference",
                               "Reward and truth", level=0.0, size=size))  # fmt: skip
    shown = tuple(panel for panel in panels if panel is not None)
    note = "Each point is a pair of answers, on the left spread within its band so that points don't hide each other."
    return Figure(shown, f"Reward differences of two answers per instruction. {answer}", note) if shown else None


def _spread(n: int) -> float:
    """The n-th of numbers in [0, 1) that lie evenly however many there are (multiples of the golden ratio)."""
    return n * 0.6180339887498949 % 1.0


def _scatter(
    name: str, by_id: Mapping[str, str], margins: Mapping[str, float], heights: Mapping[str, float], y_label: str,
    title: str, **more: Any,
) -> Panel | None:  # fmt: skip
    """`heights` over the reward difference, coloured by outcome; None without a point."""
    groups = []
    for outcome, style in (("match", 0), ("mismatch", 1), ("tie", 6)):
        ids = [i for i, one in by_id.items() if one == outcome and i in margins and i in heights]
        if ids:
            x, y = [margins[i] for i in ids], [heights[i] for i in ids]
            groups.append(Points(f"{outcome} ({len(ids):,})", x, y, style, faint=True))
    if not groups:
        return None
    return scatter(name, groups, x_label="reward of answer 1 less answer 2", y_label=y_label, title=title, upright=0.0,
                   **more)  # fmt: skip


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
