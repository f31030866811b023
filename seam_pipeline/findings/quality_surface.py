"""RLHF quality over policy and reward-model quality: the paper's Fig. 2 and its saturation claim."""

from collections.abc import Mapping
from itertools import permutations

import numpy as np
import pyarrow as pa

from seam_pipeline.report.charts import NARROW, Points, scatter
from seam_pipeline.report.figures import Figure, Panel
from seam_pipeline.report.heat import heat_map

from ._accuracy import accuracy_of
from ._finding import Finding, Row, Table
from ._format import count, number
from ._length_control import compare_at_equal_length, controlled_table, equal_length_row, for_seeds_of
from ._names import cell_name
from ._saturation import Saturation, saturation
from ._statistics import Array, Interval, difference_interval, holm, mean_interval, p_text, spearman, spearman_rows
from ._tables import Cell, by_id, count_nulls, judge_caveats, paired, rating_label, ratings, small_sample

MAX_MODELS, PERMUTATIONS = 7, 4999


def quality_surface(
    answers: Mapping[Cell, pa.Table], policy_quality: Mapping[int, pa.Table], reward_quality: Mapping[int, pa.Table]
) -> Finding:
    """Mean rating after RL on the full set, per (policy rank, reward-model rank), against Q_PM and Q_RM.

    `answers` and `policy_quality` are ANSWERS tables, `reward_quality` REWARD_QUALITY tables; cells that were not run
    are absent and stay blank. Seeds of a cell are averaged per question first; the gain over the cell's policy is
    paired over questions.
    """
    scored = {cell: by_id([ratings(answers[cell])]) for cell in sorted(answers)}
    quality = {cell: mean_interval(list(values.values())) for cell, values in scored.items()}
    q_pm = {rank: mean_interval(list(by_id([ratings(t)]).values())) for rank, t in sorted(policy_quality.items())}
    q_rm = {rank: accuracy_of(t) for rank, t in sorted(reward_quality.items())}
    pm_line = {cell: q_pm[cell[0]].value for cell in scored if cell[0] in q_pm}
    rm_line = {cell: q_rm[cell[1]].value for cell in scored if cell[1] in q_rm}
    bend = saturation(scored, pm_line, rm_line)
    label = rating_label(answers.values())
    n = min((q.n for q in quality.values()), default=0)
    before = {rank: by_id([ratings(table)]) for rank, table in policy_quality.items()}
    gains = {cell: _gain(scored[cell], before.get(cell[0], {})) for cell in scored}
    rises = {axis: _correlation(quality, line) for axis, line in (("q_pm", pm_line), ("q_rm", rm_line))}
    raw = [_p_of(quality, line, axis) for axis, line in enumerate((pm_line, rm_line))]
    tests = dict(zip(rises, holm(raw), strict=True))
    pm, rm = (f"{rises[axis].text(signed=True)}, {p_text(tests[axis])}" for axis in ("q_pm", "q_rm"))
    answer = _answer(quality, gains, rises, bend)
    return Finding(
        key="quality_surface",
        title="Figure 2: quality over the grid",
        question="Do better policies and reward models give better RLHF models, and does that saturate?",
        answer=answer,
        figure=Figure(
            (
                heat_map("surface", {c: q.value for c, q in quality.items()}, rows=sorted(q_pm), columns=sorted(q_rm),
                         title="RLHF quality", small={c: f"n = {q.n}" for c, q in quality.items()}),
                _panel("surface-pm", quality, pm_line, "Against policy quality", f"Q_PM: {label}", 0),
                _panel("surface-rm", quality, rm_line, "Against reward-model quality", "Q_RM: accuracy", 2),
            ),
            f"Heat map of RLHF quality over the grid, and scatter plots against both qualities. {answer}",
            f"Mean rating per cell over {_sizes(quality)}; cells that were not run stay blank. Bars are 95% intervals.",
        ),
        columns=("pair", "Q_PM", "Q_RM", "RLHF quality", "95% CI", "gain over policy", "its 95% CI", "d_z", "n",
                 "seeds"),
        rows=tuple(_row(c, quality[c], q_pm.get(c[0]), q_rm.get(c[1]), gains[c], answers[c]) for c in quality),
        n=n,
        interval=f"Rank correlation with policy quality {pm}; with reward-model accuracy {rm}; bootstrap over cells. "
        "Per cell in the table and the figure, over questions.",
        paper="Quality rises with both and then flattens (Fig. 2, ten by ten pairs, read off the figure).",
        caveats=(
            *judge_caveats(answers.values()),
            "Intervals are over test questions; differences between training seeds come on top.",
            "Cells that share a model are not independent: p of a rank correlation permutes whole models (Holm over "
            "both), its interval resamples cells and is too narrow.",
            "The test of the bend takes the scatter of cells about the plane as noise; Q_PM and Q_RM as known.",
            *small_sample(n, "question"),
        ),
        nulls=count_nulls([*answers.values(), *policy_quality.values()], "rating", "answer without a rating"),
        unit="test question per cell",
        more=(*bend.tables(), *_at_equal_length(answers, policy_quality)),
        headline=_headline(quality),
        numbers={f"pm{c[0]:02d}_rm{c[1]:02d}": q.value for c, q in quality.items()} | bend.numbers()
        | {f"{axis}_rank{end}": v for axis, r in rises.items()
           for end, v in (("", r.value), ("_low", r.low), ("_high", r.high), ("_n", r.n), ("_p", tests[axis]))},
    )  # fmt: skip


def _sizes(quality: Mapping[Cell, Interval]) -> str:
    """`120 questions`, or the least and the most where cells differ."""
    sizes = sorted({q.n for q in quality.values()})
    if not sizes:
        return "no questions"
    return count(sizes[0], "question") if len(sizes) == 1 else f"{sizes[0]:,} to {count(sizes[-1], 'question')}"


def _gain(after: Mapping[str, float], before: Mapping[str, float]) -> Interval:
    x, y = paired(after, before)
    return difference_interval(x - y)


def _row(
    cell: Cell, quality: Interval, pm: Interval | None, rm: Interval | None, gain: Interval, table: pa.Table
) -> Row:
    return (
        cell_name(cell),
        pm.value if pm else None,
        number(rm.value, 1, percent=True) if rm else None,
        quality.value,
        quality.range_text(),
        *gain.difference_cells(),
        quality.n,
        len(table.column("seed").unique()),
    )


def _panel(
    name: str, quality: Mapping[Cell, Interval], line: Mapping[Cell, float | None], title: str, x_label: str, style: int
) -> Panel:
    cells = [c for c in quality if line.get(c) is not None and quality[c].value is not None]
    bars = [(q.low, q.high) if q.low is not None else (q.value, q.value) for q in (quality[c] for c in cells)]
    points = Points("cells", [line[c] for c in cells], [quality[c].value for c in cells], style, bars)  # type: ignore[misc, arg-type]
    percent = x_label.endswith("accuracy")
    return scatter(name, [points], x_label=x_label, y_label="RLHF quality", title=title, percent=percent, size=NARROW)


def _headline(quality: Mapping[Cell, Interval]) -> tuple[str, str] | None:
    best = max((c for c in quality if quality[c].value is not None), key=lambda c: quality[c].value or 0, default=None)
    return None if best is None else (number(quality[best].value), f"best RLHF quality (PM {best[0]} / RM {best[1]})")


def _known(quality: Mapping[Cell, Interval], line: Mapping[Cell, float | None]) -> Array:
    """[2, cells]: the axis and the quality, where both are known."""
    pairs = [(line[c], quality[c].value) for c in quality if line.get(c) is not None and quality[c].value is not None]
    return np.array(pairs, dtype=np.float64).reshape(-1, 2).T


def _correlation(quality: Mapping[Cell, Interval], line: Mapping[Cell, float | None]) -> Interval:
    """Rank correlation over cells, which are its units; none for fewer than three."""
    x, y = _known(quality, line)
    return spearman(x, y) if len(x) > 2 else Interval(None, None, None, len(x))


def _p_of(quality: Mapping[Cell, Interval], line: Mapping[Cell, float | None], axis: int) -> float | None:
    """Two-sided p of the rank correlation: the axis' qualities permuted over its models, which are the units.

    Exact up to MAX_MODELS models, else PERMUTATIONS random ones; None for fewer than three or without spread.
    """
    cells = [c for c in quality if line.get(c) is not None and quality[c].value is not None]
    models = sorted({c[axis] for c in cells})
    levels = np.array([next(line[c] for c in cells if c[axis] == model) for model in models], dtype=np.float64)
    y = np.array([quality[c].value for c in cells], dtype=np.float64)
    if len(models) < 3 or not np.ptp(levels) or not np.ptp(y):
        return None
    at = np.array([models.index(c[axis]) for c in cells])
    if len(models) <= MAX_MODELS:
        orders = np.array(list(permutations(range(len(models)))))
    else:
        rng = np.random.default_rng(0)
        orders = np.array([np.arange(len(models)), *(rng.permutation(len(models)) for _ in range(PERMUTATIONS))])
    found = np.abs(spearman_rows(levels[orders][:, at], np.broadcast_to(y, (len(orders), len(y)))))
    return float((found >= found[0] - 1e-12).mean())


def _at_equal_length(answers: Mapping[Cell, pa.Table], before: Mapping[int, pa.Table]) -> tuple[Table, ...]:
    """Each cell against its policy before RL, which may have gained by length alone."""
    rows = [
        equal_length_row(
            cell_name(cell),
            compare_at_equal_length({cell: table}, {cell: for_seeds_of(table, before[cell[0]])}),
        )
        for cell, table in sorted(answers.items())
        if cell[0] in before
    ]
    return (controlled_table("the policy before RL", rows),) if rows else ()


def _answer(
    quality: Mapping[Cell, Interval],
    gains: Mapping[Cell, Interval],
    rises: Mapping[str, Interval],
    bend: Saturation,
) -> str:
    if not quality:
        return "No cell of the grid was run."
    better = sum(gain.excludes(0) and (gain.value or 0) > 0 for gain in gains.values())
    worse = sum(gain.excludes(0) and (gain.value or 0) < 0 for gain in gains.values())
    pm, rm = (number(rises[axis].value, signed=True) for axis in ("q_pm", "q_rm"))
    return (
        f"Over {count(len(quality), 'cell')} RLHF quality has rank correlation {pm} with policy quality and {rm} with "
        f"reward-model accuracy; RL made {better} better and {worse} worse than their policy at 95%, uncorrected; "
        f"saturation: {bend.verdict}."
    )
