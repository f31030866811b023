"""Match rate and both qualities as the base model grows: the paper's Table 2."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from seam_pipeline.judging.match import outcomes
from seam_pipeline.report.charts import NARROW, Series, ladder
from seam_pipeline.report.figures import Figure, Panel

from ._accuracy import accuracy_change, accuracy_of, by_question
from ._finding import Finding, Row, Table
from ._format import listing, number
from ._match import Match, match
from ._statistics import Interval, difference_interval, holm, mean_interval, p_text, wilcoxon
from ._tables import by_id, count_nulls, judge_caveats, judges, paired, rating_label, ratings, small_sample

OWN = "the study's own"
SHAPE = ("vocab_size", "hidden_size", "intermediate_size", "layers", "heads")
"""Settings of a base from scratch that make its size."""
PAPER = (
    ("LLaMA2-7B, the paper", "7 B", "60.5%", None, None, "5.24", None, "66.1%", None),
    ("LLaMA2-13B, the paper", "13 B", "60.7%", None, None, "5.30", None, "66.9%", None),
    ("LLaMA2-70B, the paper", "70 B", "60.4%", None, None, "5.35", None, "67.6%", None),
)


class BaseSize(NamedTuple):
    """What was measured of one base: `policy` are ANSWERS, `quality` REWARD_QUALITY, then REWARDS and VERDICTS.

    `trained` holds the trainings' settings by name, such as `SFT learning_rate`.
    """

    base: str
    parameters: int
    policy: pa.Table
    quality: pa.Table
    rewards: pa.Table
    verdicts: pa.Table
    trained: Mapping[str, object] = MappingProxyType({})


class _Values(NamedTuple):
    """Per instruction or question: what is averaged."""

    matched: Mapping[str, float]
    rated: Mapping[str, float]
    correct: Mapping[str, float]
    """Share of a question's pairs."""


class _Levels(NamedTuple):
    match: Match
    policy: Interval
    reward: Interval


def base_sizes(own: BaseSize, further: Mapping[str, BaseSize]) -> Finding:
    """Match rate of the reward model with the preference, policy rating and pair accuracy, by size of the base.

    The largest base is compared with the smallest over the instructions, questions and pairs that both have.
    """
    sizes = sorted({OWN: own, **further}.items(), key=lambda item: item[1].parameters)
    values = {name: _values(one) for name, one in sizes}
    levels = {name: _levels(one, values[name]) for name, one in sizes}
    (small, _), (large, _) = sizes[0], sizes[-1]
    changes = _changes(values[small], values[large], *(one.quality for one in (sizes[0][1], sizes[-1][1])))
    tests = _tests(values[small], values[large])
    everyone = [one for _, one in sizes]
    n = min(one.match.rate.n for one in levels.values())
    answer = _answer(everyone, levels, small, large, changes)
    return Finding(
        key="base_sizes",
        title="Table 2: larger bases",
        question="Does a larger base model close the gap between reward model and preference?",
        answer=answer,
        figure=_figure(sizes, levels, answer),
        columns=("base", "parameters", "match rate", "95% CI", "pairs", "policy rating", "its 95% CI",
                 "reward accuracy", "accuracy's 95% CI"),
        rows=(*(_row(name, one, levels[name]) for name, one in sizes), *PAPER),
        n=n,
        interval=f"Largest less smallest base: match rate {changes['match'].text(1, signed=True, percent=True)}, "
        f"rating {changes['policy'].text(signed=True)}, accuracy {changes['reward'].text(1, signed=True, percent=True)}"
        "; over the instructions and questions that both have, bootstrap.",
        paper="60.5, 60.7, 60.4% for 7B, 13B, 70B, while policies go from 5.24 to 5.35 of 10 and reward models from "
        "66.1 to 67.6% (Table 2, whose two quality columns look swapped).",
        caveats=(
            "Each base was trained once: differences between trainings come on top of the intervals.",
            *_unlike(dict(sizes)),
            "Each match rate is over the answers of that base's own policies; pairs without a preference are left out.",
            f"Preference by: {listing(judges(one.verdicts for one in everyone))}.",
            *judge_caveats(one.policy for one in everyone),
            *small_sample(n, "pair"),
        ),
        nulls={
            **count_nulls([one.policy for one in everyone], "rating", "answer without a rating"),
            **count_nulls([one.quality for one in everyone], "correct", "pair without an accuracy"),
            **count_nulls([one.verdicts for one in everyone], "preference", "pair without a preference"),
            **count_nulls([one.rewards for one in everyone], "reward", "answer without a reward"),
        },
        unit="compared pair per base",
        more=(_largest_less_smallest(changes, tests),
              Table("Pairs of answers by outcome", ("base", *levels[small].match.counts), tuple(
                  (name, *levels[name].match.counts.values()) for name, _ in sizes))),
        headline=_headline(levels[large].match.rate),
        numbers={f"{name}_{what}": value for name, one in levels.items() for what, value in (
            ("match", one.match.rate.value), ("policy", one.policy.value), ("reward", one.reward.value))}
        | {f"{what}_change{end}": value for what, change in changes.items() for end, value in (
            ("", change.value), ("_low", change.low), ("_high", change.high), ("_n", change.n), ("_dz", change.dz),
            ("_p", tests[what]), ("_trainings", 1), ("_trainings", 1))},
    )  # fmt: skip


def _values(one: BaseSize) -> _Values:
    matched = {i: float(o == "match") for i, o in outcomes(one.rewards, one.verdicts).items() if "match" in o}
    correct = {question: right / n for question, (right, n) in by_question(one.quality).items()}
    return _Values(matched, by_id([ratings(one.policy)]), correct)


def _levels(one: BaseSize, values: _Values) -> _Levels:
    rating = mean_interval(list(values.rated.values()))
    return _Levels(match(one.rewards, one.verdicts), rating, accuracy_of(one.quality))


def _changes(small: _Values, large: _Values, less: pa.Table, more: pa.Table) -> dict[str, Interval]:
    """Large less small, over what both have; `less` and `more` are their REWARD_QUALITY."""

    def change(ours: Mapping[str, float], theirs: Mapping[str, float]) -> Interval:
        a, b = paired(ours, theirs)
        return difference_interval(a - b)

    return {
        "match": change(large.matched, small.matched),
        "policy": change(large.rated, small.rated),
        "reward": accuracy_change([more], [less]),
    }


def _tests(small: _Values, large: _Values) -> dict[str, float | None]:
    """Wilcoxon's p of the three changes, Holm-corrected over them."""
    sides = zip(large, small, strict=True)
    tested = [wilcoxon(np.subtract(*paired(ours, theirs))).p for ours, theirs in sides]
    return dict(zip(("match", "policy", "reward"), holm(tested), strict=True))


def _largest_less_smallest(changes: Mapping[str, Interval], tests: Mapping[str, float | None]) -> Table:
    names = {"match": "match rate", "policy": "policy's rating", "reward": "reward model's accuracy"}
    rows = tuple(
        (names[what], *change.difference_cells(2 if what == "policy" else 1, percent=what != "policy"),
         p_text(tests[what]), change.n)
        for what, change in changes.items()
    )  # fmt: skip
    return Table("Largest less smallest base", ("what", "difference", "95% CI", "d_z", "p (Holm)", "n"), rows)


def _unlike(sizes: Mapping[str, BaseSize]) -> tuple[str, ...]:
    """A caveat that names the trainings' settings in which the bases differ besides their size."""
    names = dict.fromkeys(name for one in sizes.values() for name in one.trained)
    parts = []
    for name in names:
        values = [one.trained.get(name) for one in sizes.values()]
        if any(value != values[0] for value in values):
            each = (
                f"{value if value is not None else 'none'} ({base})" for value, base in zip(values, sizes, strict=True)
            )
            parts.append(f"{name} {', '.join(each)}")
    if not parts:
        return ()
    return (f"The bases differ in their trainings too, not in size alone: {'; '.join(parts)}.",)


def _row(name: str, one: BaseSize, levels: _Levels) -> Row:
    return (
        f"{name} ({one.base})",
        _millions(one.parameters),
        number(levels.match.rate.value, 1, percent=True),
        levels.match.rate.range_text(1, percent=True),
        levels.match.rate.n,
        number(levels.policy.value),
        levels.policy.range_text(),
        number(levels.reward.value, 1, percent=True),
        levels.reward.range_text(1, percent=True),
    )


def _millions(parameters: int) -> str:
    return f"{number(parameters / 1e9, 1)} B" if parameters >= 1e9 else f"{number(parameters / 1e6, 2)} M"


def _figure(sizes: list[tuple[str, BaseSize]], levels: Mapping[str, _Levels], answer: str) -> Figure:
    positions = [_millions(one.parameters) for _, one in sizes]

    def panel(name: str, title: str, y_label: str, of: Callable[[_Levels], Interval], style: int, **more: Any) -> Panel:
        line = Series(title, [of(levels[key]) for key, _ in sizes], style)
        return ladder(f"base-{name}", positions, [line], x_label="parameters of the base", y_label=y_label,
                      title=title, size=NARROW, **more)  # fmt: skip

    label = rating_label(one.policy for _, one in sizes)
    return Figure(
        (
            panel("match", "Match rate", "share of compared pairs", lambda v: v.match.rate, 0, percent=True,
                  reference=(0.5, "chance")),
            panel("policy", "Policy", label, lambda v: v.policy, 1),
            panel("reward", "Reward model", "accuracy on test pairs", lambda v: v.reward, 2, percent=True,
                  reference=(0.5, "chance")),
        ),
        f"Match rate, policy rating and reward-model accuracy with 95% intervals by size of the base. {answer}",
    )  # fmt: skip


def _answer(
    sizes: list[BaseSize], levels: Mapping[str, _Levels], small: str, large: str, changes: Mapping[str, Interval]
) -> str:
    def went(what: str, of: Callable[[_Levels], Interval], digits: int, percent: bool) -> str:
        ends = [number(of(levels[name]).value, digits, percent=percent) for name in (small, large)]
        return f"from {ends[0]} to {ends[1]} ({_verdict(changes[what])})"

    return (
        f"From {_millions(sizes[0].parameters)} to {_millions(sizes[-1].parameters)} parameters the match rate goes "
        f"{went('match', lambda v: v.match.rate, 1, True)}, the policy's rating "
        f"{went('policy', lambda v: v.policy, 2, False)}, the reward model's accuracy "
        f"{went('reward', lambda v: v.reward, 1, True)}."
    )


def _headline(rate: Interval) -> tuple[str, str] | None:
    return None if rate.value is None else (number(rate.value, 1, percent=True), "match rate on the largest base")


def _verdict(change: Interval) -> str:
    if change.low is None:
        return f"not testable over {change.n}"
    return "not separated at 95%" if not change.excludes(0) else "up" if (change.value or 0) > 0 else "down"
