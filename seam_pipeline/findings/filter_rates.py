"""How much should be left out? The paper's Fig. 8: RL after filtering larger and larger shares of the instructions."""

from collections.abc import Mapping

import pyarrow as pa

from seam_pipeline.report.charts import Series, ladder
from seam_pipeline.report.figures import Figure

from ._comparison import (
    EFFECT,
    TESTS,
    Comparison,
    compare,
    interval_text,
    numbers_of,
    rated_triples,
    seeds_caveat,
    seeds_text,
)
from ._finding import Finding, Row, Table
from ._format import listing, number
from ._length_control import LengthControlled, by_length_alone, compare_at_equal_length, equal_length_table
from ._names import drawn_once, method_name, style_of
from ._peak import Peak, best_rates
from ._statistics import Interval, holm
from ._tables import Cell, count_nulls, judge_caveats, rating_label, small_sample

Answers = Mapping[Cell, pa.Table]
ByRate = Mapping[float, Answers]
PEAK, FAR = 0.4, 0.8
"""The paper's best share, and the largest that it tried."""
COLUMNS = ("left out", "instructions kept", "runs", "rating", "difference from full", *EFFECT, *TESTS)


def filter_rates(
    method: str,
    full: Answers,
    filtered: ByRate,
    random: ByRate,
    kept: Mapping[tuple[str, float], float],
) -> Finding:
    """Rating after RL by the share that `method` leaves out, against `full` and against the same share at random.

    `full`, `filtered` and `random` are ANSWERS by cell (and by rate); `kept` counts instructions by (method, rate).
    Paired over (cell, seed, question). Questions are the units of the intervals and of Wilcoxon's test, with Holm over
    the rates; seeds those of the exact sign-flip test.
    """
    base = rated_triples(full)
    ours, chance = (
        {rate: rated_triples(tables) for rate, tables in sorted(rates.items())} for rates in (filtered, random)
    )
    found = {rate: compare(method, rated, base) for rate, rated in ours.items()}
    control = {rate: compare("random", rated, base) for rate, rated in chance.items()}
    against = {rate: compare("random", ours[rate], chance[rate]) for rate in ours.keys() & chance.keys()}
    peaks = best_rates({0.0: base, **ours})
    past = compare(method, ours[FAR], ours[PEAK]) if {FAR, PEAK} <= ours.keys() else None
    length = _at_equal_length(method, full, filtered, random)
    answer = _answer(method, found, against, peaks)
    tables = [t for side in (full, *filtered.values(), *random.values()) for t in side.values()]
    n = min((one.difference.n for one in found.values()), default=0)
    return Finding(
        key="filter_rates",
        title="Figure 8: filter rates",
        question=f"What share of the instructions should {method_name(method)} leave out?",
        answer=answer,
        figure=_figure(method, found, control, peaks[:1], rating_label(tables), answer) if found else None,
        columns=COLUMNS,
        rows=_rows(found, kept),
        n=n,
        interval=interval_text([(f"{rate:.0%} left out", one) for rate, one in found.items()], "the full set"),
        paper="Rank-1 pair, 10 to 80% left out: rises to a peak at about 40%, then declines; 20% chosen "
        "(appendix E.1, Fig. 8; no numbers given).",
        caveats=(
            *judge_caveats(tables),
            *by_length_alone(length),
            *seeds_caveat(found.values()),
            *drawn_once(["random"] if random else []),
            *small_sample(n, "question"),
        ),
        nulls=count_nulls(tables, "rating", "answer without a rating"),
        unit="test question",
        more=(*_more(method, found, control, against, peaks, kept), *_past_the_peak(past),
              *equal_length_table(length)),
        headline=_headline(method, peaks, found),
        numbers=_numbers(found, control, peaks)
        | ({} if past is None else past.numbers(f"{method}_{FAR:.0%}_over_{PEAK:.0%}", past.questions.p)),
    )  # fmt: skip


def _rows(found: Mapping[float, Comparison], kept: Mapping[tuple[str, float], float]) -> tuple[Row, ...]:
    adjusted = holm([one.questions.p for one in found.values()])
    return tuple(
        (
            f"{rate:.0%}",
            number(kept.get((one.method, rate)), 0),
            one.runs,
            *one.tested(p),
        )
        for (rate, one), p in zip(found.items(), adjusted, strict=True)
    )


def _more(
    method: str,
    found: Mapping[float, Comparison],
    control: Mapping[float, Comparison],
    against: Mapping[float, Comparison],
    peaks: list[Peak],
    kept: Mapping[tuple[str, float], float],
) -> tuple[Table, ...]:
    tables = []
    if peaks:
        best = ("left out", "mean rating", "95% CI", "best of the resamples, questions", "questions and seeds")
        rows: tuple[Row, ...] = tuple(
            (f"{p.rate:.0%}", p.quality.value, p.quality.range_text(), number(p.questions, 0, percent=True),
             "not testable" if p.both is None else number(p.both, 0, percent=True))
            for p in peaks
        )  # fmt: skip
        tables.append(Table("Which share is best: how often each one is, when the data are resampled", best, rows))
    if against:
        adjusted = holm([one.questions.p for _, one in sorted(against.items())])
        rows = tuple(
            (f"{rate:.0%}", *one.effect(p)) for (rate, one), p in zip(sorted(against.items()), adjusted, strict=True)
        )
        caption = f"{method_name(method)} against random at the same share: better instructions, or only fewer?"
        columns = ("left out", "difference from random", *EFFECT, *TESTS)
        tables.append(Table(caption, columns, rows))
    if control:
        tables.append(Table("The same shares left out at random", COLUMNS, _rows(control, kept)))
    return tuple(tables)


def _past_the_peak(past: Comparison | None) -> tuple[Table, ...]:
    if past is None:
        return ()
    row = (f"{FAR:.0%} less {PEAK:.0%}", past.runs, *past.effect(past.questions.p))
    columns = ("left out", "runs", "difference", *EFFECT, "p over questions", TESTS[1])
    return (Table("Does it decline past the paper's peak?", columns, (row,)),)


def _at_equal_length(method: str, full: Answers, filtered: ByRate, random: ByRate) -> dict[str, LengthControlled]:
    """Each share against the full set where the answers are equally long."""
    return {
        f"{method_name(name)}, {rate:.0%}": compare_at_equal_length(rates[rate], full)
        for name, rates in ((method, filtered), ("random", random))
        for rate in sorted(rates)
    }


def _figure(
    method: str,
    found: Mapping[float, Comparison],
    control: Mapping[float, Comparison],
    start: list[Peak],
    label: str,
    answer: str,
) -> Figure:
    rates = sorted(found.keys() | control.keys())
    sides = [(method, found), ("random", control)] if control else [(method, found)]
    level: list[Interval | None] = [peak.quality for peak in start] or [None]
    zero = Interval(0.0, None, None, 0)
    positions = [f"{rate:.0%}" for rate in (0.0, *rates)]
    lines = {name: [side.get(rate) for rate in rates] for name, side in sides}
    quality = [
        Series(method_name(name), [*level, *(one.quality if one else None for one in line)], style_of(name))
        for name, line in lines.items()
    ]
    change = [
        Series(method_name(name), [zero, *(one.relative if one else None for one in line)], style_of(name))
        for name, line in lines.items()
    ]
    x = "share of the instructions left out"
    panels = (
        ladder("filter-rates", positions, quality, x_label=x, y_label=label, title="Mean rating after RL"),
        ladder("filter-rates-change", positions, change, x_label=x, y_label="change against the full set",
               title="Relative change", reference=(0.0, "full set"), percent=True),
    )  # fmt: skip
    return Figure(
        panels,
        f"Mean rating after RL, and its change against the full set, by the share left out. {answer}",
        "Bars are 95% intervals over questions; on the right paired with the full set (0%).",
    )


def _answer(
    method: str, found: Mapping[float, Comparison], against: Mapping[float, Comparison], peaks: list[Peak]
) -> str:
    if not peaks or not found:
        return "No rate shares a cell, a seed and a question with the full set: nothing to compare."
    best = max(peaks, key=lambda peak: (peak.quality.value or 0, -peak.rate))
    sure = f"{number(best.questions, 0, percent=True)} of the resamples over questions"
    if best.both is not None:
        sure += f" ({number(best.both, 0, percent=True)} over questions and seeds)"
    if best.rate == 0:
        head = f"Leaving out nothing rates highest ({number(best.quality.value)})"
    else:
        change = found[best.rate].relative.text(1, signed=True, percent=True)
        head = f"Leaving out {best.rate:.0%} by {method_name(method)} rates highest, {change} against the full set"
    parts = [f"{head}, and is the best of {len(peaks)} shares in {sure}"]
    parts.append(f"separated from the full set at 95%: {_clear(found)}")
    if against:
        parts.append(f"from as many left out at random: {_clear(against)}")
    parts.append(seeds_text({f"{rate:.0%}": one for rate, one in found.items()}))
    return "; ".join(parts) + "."


def _clear(found: Mapping[float, Comparison]) -> str:
    """Rates whose difference the interval and Holm's p both separate from zero, worse ones named so."""
    adjusted = holm([one.questions.p for one in found.values()])
    clear = [
        f"{rate:.0%}" + (" (worse)" if (one.difference.value or 0) < 0 else "")
        for (rate, one), p in sorted(zip(found.items(), adjusted, strict=True), key=lambda pair: pair[0][0])
        if one.clear(p)
    ]
    return listing(clear) or "none"


def _headline(method: str, peaks: list[Peak], found: Mapping[float, Comparison]) -> tuple[str, str] | None:
    if not peaks or not found:
        return None
    best = max(peaks, key=lambda peak: (peak.quality.value or 0, -peak.rate))
    sure = number(best.questions if best.both is None else best.both, 0, percent=True)
    return f"{best.rate:.0%}", f"left out by {method_name(method)} rates highest, in {sure} of the resamples"


def _numbers(
    found: Mapping[float, Comparison], control: Mapping[float, Comparison], peaks: list[Peak]
) -> dict[str, float | None]:
    numbers: dict[str, float | None] = {}
    for side in (found, control):
        named = [(f"{one.method}_{rate:.0%}_relative", one) for rate, one in side.items()]
        numbers |= numbers_of(named, holm([one.questions.p for one in side.values()]))
    return {**numbers, **{f"best_{peak.rate:.0%}": peak.questions for peak in peaks}}
