"""The chart types of the report, from plain numbers to a Panel."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ._palette import LIGHT, SERIES
from .figures import Panel, draw

if TYPE_CHECKING:
    from seam_pipeline.findings._statistics import Interval

MARKERS = ("o", "s", "D", "^", "v", "P", "X")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)), (0, (3, 1, 1, 1)))
WIDE, NARROW = (400, 275), (320, 270)
"""Sizes in CSS pixels of a panel that stands alone or in twos, and of one in threes."""
MAX_FAINT = 60
MAX_POINTS = 400
"""Scatter groups are thinned to this many points each, evenly in the given order."""


class Series(NamedTuple):
    """A named line with intervals over categorical x positions (None: no point there)."""

    label: str
    intervals: "Sequence[Interval | None]"
    style: int = 0


class Curve(NamedTuple):
    """A line over numeric x; faint ones are context and stay out of the legend."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: int = 0
    faint: bool = False


class Points(NamedTuple):
    """A scatter group; `bars` are (low, high) of y per point."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: int = 0
    bars: Sequence[tuple[float, float]] | None = None
    faint: bool = False


def colour(style: int) -> str:
    """Light colour of a series number; the palette repeats after seven."""
    return LIGHT[SERIES[style % len(SERIES)]]


def ladder(
    name: str,
    positions: Sequence[str],
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    reference: tuple[float, str] | None = None,
    percent: bool = False,
    size: tuple[int, int] = WIDE,
) -> Panel:
    """Estimates with 95% intervals over ordered categories; `reference` is a dashed level with its name."""

    def paint(ax: Any) -> None:
        _frame(ax, title, x_label, y_label)
        for shift, one in zip(_shifts(len(series)), series, strict=True):
            points = [(i + shift, e) for i, e in enumerate(one.intervals) if e is not None and e.value is not None]
            x, y = [p[0] for p in points], [p[1].value for p in points]
            c, style = colour(one.style), one.style % len(MARKERS)
            ax.plot(x, y, color=c, linestyle=DASHES[style], marker=MARKERS[style], markersize=7,
                    markeredgecolor=LIGHT["card"], markeredgewidth=1.2, label=one.label)  # fmt: skip
            for at, e in points:
                if e.low is not None:
                    ax.plot([at, at], [e.low, e.high], color=c, linewidth=2.2, alpha=0.55, solid_capstyle="round")
        ax.set_xticks(range(len(positions)), positions)
        ax.set_xlim(-0.5, len(positions) - 0.5)
        if reference is not None:
            _level(ax, *reference)
        if percent:
            ax.yaxis.set_major_formatter(_percent)
        ax.margins(y=0.12)
        if len(series) > 1:
            _legend(ax)

    return draw(name, size, paint)


def forest(
    name: str,
    rows: "Sequence[tuple[str, Interval, int]]",
    *,
    x_label: str,
    title: str = "",
    reference: tuple[float, str] | None = None,
    marks: Sequence[float | None] | None = None,
    marks_label: str = "",
    width: int = WIDE[0],
) -> Panel:
    """One row per (label, estimate, series number), from the top down; `marks` are hollow diamonds beside them."""

    def paint(ax: Any) -> None:
        _frame(ax, title, x_label, "", grid="x")
        for at, (_, e, style) in enumerate(rows):
            if e.value is None:
                continue
            if e.low is not None:
                ax.plot([e.low, e.high], [at, at], color=colour(style), linewidth=3, alpha=0.55, solid_capstyle="round")
            ax.plot([e.value], [at], marker=MARKERS[style % 7], markersize=8, color=colour(style),
                    markeredgecolor=LIGHT["card"], markeredgewidth=1.2, linestyle="none")  # fmt: skip
        shown = [(mark, at) for at, mark in enumerate(marks or ()) if mark is not None]
        if shown:
            ax.plot([m for m, _ in shown], [a for _, a in shown], marker="D", markersize=7, linestyle="none",
                    markerfacecolor="none", markeredgecolor=LIGHT["muted"], markeredgewidth=1.5,
                    label=marks_label)  # fmt: skip
            _legend(ax)
        if reference is not None:
            ax.axvline(reference[0], color=LIGHT["muted"], linewidth=1.2, linestyle=(0, (4, 3)), zorder=0)
            ax.annotate(reference[1], (reference[0], 0.0), (4, 2), xycoords=("data", "axes fraction"),
                        textcoords="offset points", color=LIGHT["muted"], fontsize=10.5)  # fmt: skip
        ax.set_yticks(range(len(rows)), [label for label, _, _ in rows])
        ax.tick_params(axis="y", length=0, labelcolor=LIGHT["ink"])
        ax.spines["left"].set_visible(False)
        ax.set_ylim(len(rows) - 0.2, -0.6)
        ax.margins(x=0.06)

    return draw(name, (width, 96 + 30 * len(rows)), paint)


def curves(
    name: str,
    lines: Sequence[Curve],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    level: float | None = None,
    size: tuple[int, int] = WIDE,
) -> Panel:
    """Lines over numeric x, faint ones below; of the faint ones at most MAX_FAINT are drawn, evenly chosen."""
    faint = [line for line in lines if line.faint]
    lines = [*faint[:: max(1, -(-len(faint) // MAX_FAINT))], *(line for line in lines if not line.faint)]

    def paint(ax: Any) -> None:
        _frame(ax, title, x_label, y_label)
        if level is not None:
            ax.axhline(level, color=LIGHT["muted"], linewidth=1.2, linestyle=(0, (4, 3)), zorder=0)
        ax.locator_params(axis="x", nbins=6)
        for line in lines:
            width, alpha = (1.0, 0.35) if line.faint else (2.4, 1.0)
            style = "-" if line.faint else DASHES[line.style % 7]
            label = "_" if line.faint else line.label
            ax.plot(
                line.x, line.y, color=colour(line.style), linewidth=width, alpha=alpha, linestyle=style, label=label
            )
        if sum(not line.faint for line in lines) > 1:
            _legend(ax)

    return draw(name, size, paint)


def scatter(
    name: str,
    groups: Sequence[Points],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    level: float | None = None,
    upright: float | None = None,
    y_ticks: Sequence[tuple[float, str]] | None = None,
    percent: bool = False,
    size: tuple[int, int] = WIDE,
) -> Panel:
    """Points, with vertical interval bars where given; `percent` formats x.

    `level` and `upright` are a dashed horizontal and vertical line; `y_ticks` name places on a y that is a choice.
    """

    def paint(ax: Any) -> None:
        _frame(ax, title, x_label, y_label, grid="both")
        ax.locator_params(axis="x", nbins=6)
        if percent:
            ax.xaxis.set_major_formatter(_percent)
        if level is not None:
            ax.axhline(level, color=LIGHT["muted"], linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
        if upright is not None:
            ax.axvline(upright, color=LIGHT["muted"], linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
        if y_ticks is not None:
            ax.set_yticks([at for at, _ in y_ticks], [label for _, label in y_ticks])
        for group in groups:
            keep = range(0, len(group.x), max(1, -(-len(group.x) // MAX_POINTS)))
            c, marker = colour(group.style), MARKERS[group.style % 7]
            for i in keep if group.bars else ():
                ax.plot([group.x[i]] * 2, group.bars[i], color=c, linewidth=2, alpha=0.4, solid_capstyle="round")  # type: ignore[index]
            ax.plot([group.x[i] for i in keep], [group.y[i] for i in keep], linestyle="none", marker=marker, color=c,
                    markersize=4.5 if group.faint else 7.5, alpha=0.45 if group.faint else 1.0, label=group.label,
                    markeredgecolor=c if group.faint else LIGHT["card"],
                    markeredgewidth=0 if group.faint else 1)  # fmt: skip
        if len(groups) > 1:
            _legend(ax)

    return draw(name, size, paint)


def stacked_bars(
    name: str, rows: Sequence[str], parts: Sequence[tuple[str, Sequence[int]]], *, x_label: str, title: str = ""
) -> Panel:
    """Horizontal bars, one per row, stacked from (part name, value per row)."""

    def paint(ax: Any) -> None:
        _frame(ax, title, x_label, "", grid="x")
        left = [0] * len(rows)
        for style, (label, values) in enumerate(parts):
            ax.barh(range(len(rows)), values, left=left, height=0.55, color=colour(style), label=label,
                    edgecolor=LIGHT["card"], linewidth=1.2)  # fmt: skip
            left = [a + b for a, b in zip(left, values, strict=True)]
        for at, total in enumerate(left):
            ax.annotate(f"{total:,}", (total, at), (5, 0), textcoords="offset points", va="center")
        ax.set_yticks(range(len(rows)), rows)
        ax.tick_params(axis="y", length=0, labelcolor=LIGHT["ink"])
        ax.spines["left"].set_visible(False)
        ax.set_ylim(len(rows) - 0.4, -0.6)
        ax.margins(x=0.14)
        ax.locator_params(axis="x", nbins=5)
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        _legend(ax)

    return draw(name, (WIDE[0], 120 + 36 * len(rows)), paint)


def _frame(ax: Any, title: str, x_label: str, y_label: str, grid: str = "y") -> None:
    if title:
        ax.set_title(title)
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.grid(True, axis=grid)
    ax.tick_params(length=3)


def _percent(value: float, _: Any = None) -> str:
    """`2.5%` or `−5%`: no rounding that would make ticks look uneven."""
    return f"{round(100 * value, 6):g}%".replace("-", "−")


def _legend(ax: Any) -> None:
    handles, labels = ax.get_legend_handles_labels()
    if not labels:
        return
    width = ax.figure.get_figwidth() * 72
    columns = max(1, min(len(labels), int(width // (6.8 * max(map(len, labels)) + 48))))
    ax.figure.legend(handles, labels, loc="outside lower left", ncols=columns, handlelength=2.2, columnspacing=1.2,
                     borderpad=0.2)  # fmt: skip


def _level(ax: Any, value: float, label: str) -> None:
    ax.axhline(value, color=LIGHT["muted"], linewidth=1.2, linestyle=(0, (4, 3)), zorder=0)
    ax.annotate(label, (1.0, value), (-2, 3), xycoords=("axes fraction", "data"), textcoords="offset points",
                ha="right", color=LIGHT["muted"], fontsize=10.5)  # fmt: skip


def _shifts(n: int) -> list[float]:
    return [0.07 * (i - (n - 1) / 2) for i in range(n)]
