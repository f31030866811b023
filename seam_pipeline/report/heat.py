"""Heat maps over the policy x reward-model grid, in seven steps of one colour ramp that follows the theme."""

from collections.abc import Mapping, Sequence
from typing import Any

from ._palette import LIGHT, RAMP
from .charts import NARROW
from .figures import Panel, draw

Cell = tuple[int, int]


def heat_map(
    name: str,
    values: Mapping[Cell, float | None],
    *,
    rows: Sequence[int],
    columns: Sequence[int],
    title: str,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    row_label: str = "policy rank",
    column_label: str = "reward-model rank",
    texts: Mapping[Cell, str] | None = None,
    small: Mapping[Cell, str] | None = None,
    deep_is_low: bool = False,
    width: int = NARROW[0],
) -> Panel:
    """Values by (row key, column key); a missing or None cell stays blank with a dashed edge.

    `texts` replaces the printed value, `small` is a second line (up to four columns). `deep_is_low` turns the ramp.
    """
    shown = {key: value for key, value in values.items() if value is not None}
    low, high = (min(shown.values()), max(shown.values())) if shown else (0.0, 1.0)
    wide = len(columns) <= 4
    size = 12.5 if wide else 9.5 if len(columns) < 8 else 8

    def paint(ax: Any) -> None:
        from matplotlib.patches import Rectangle

        for y, row in enumerate(rows):
            for x, column in enumerate(columns):
                value = shown.get((row, column))
                if value is None:
                    ax.add_patch(Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, facecolor="none", edgecolor=LIGHT["rule"],
                                           linestyle=(0, (3, 3))))  # fmt: skip
                    continue
                step = _step(value, low, high, deep_is_low)
                ink = LIGHT["seqlow" if step < 4 else "seqhigh"]
                ax.add_patch(Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, facecolor=LIGHT[RAMP[step]]))
                second = (small or {}).get((row, column)) if wide else None
                ax.text(x, y - (0.13 if second else 0), (texts or {}).get((row, column)) or _short(value, high - low),
                        ha="center", va="center", color=ink, fontsize=size)  # fmt: skip
                if second:
                    ax.text(x, y + 0.24, second, ha="center", va="center", color=ink, fontsize=8.5)
        ax.set_xlim(-0.5, len(columns) - 0.5)
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xticks(range(len(columns)), column_labels or [str(key) for key in columns])
        ax.set_yticks(range(len(rows)), row_labels or [str(key) for key in rows])
        ax.tick_params(length=0, labelcolor=LIGHT["ink"])
        for side in ("left", "bottom"):
            ax.spines[side].set_visible(False)
        ax.set_xlabel(column_label)
        ax.set_ylabel(row_label)
        ax.set_title(title)

    height = max(26, min(56, (width - 60) // max(len(columns), 1)))
    return draw(name, (width, 84 + height * len(rows)), paint)


def _step(value: float, low: float, high: float, deep_is_low: bool) -> int:
    share = 0.0 if high == low else (value - low) / (high - low)
    step = min(len(RAMP) - 1, int(share * len(RAMP)))
    return len(RAMP) - 1 - step if deep_is_low else step


def _short(value: float, spread: float) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 20 or spread >= 10 else 2
    return f"{value:.{digits}f}".replace("-", "−")
