"""Figures as data: SVG text for the page, PNG bytes for the Dagster UI."""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ._palette import LIGHT
from ._svg import compact

MAX_SVG_CHARACTERS = 200_000
"""Charts thin their points to stay below this size; `draw` refuses what does not."""

_STYLE: dict[str, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "seam",
    "font.family": "DejaVu Sans",
    "font.size": 11.5,
    "axes.titlesize": 12.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.edgecolor": LIGHT["rule"],
    "axes.labelcolor": LIGHT["muted"],
    "axes.titlecolor": LIGHT["ink"],
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": LIGHT["ink"],
    "xtick.color": LIGHT["rule"],
    "ytick.color": LIGHT["rule"],
    "xtick.labelcolor": LIGHT["muted"],
    "ytick.labelcolor": LIGHT["muted"],
    "grid.color": LIGHT["grid"],
    "grid.linewidth": 1.0,
    "legend.frameon": False,
    "legend.labelcolor": LIGHT["ink"],
    "legend.fontsize": 11,
    "lines.linewidth": 2.0,
    "figure.facecolor": "none",
}


@dataclass(frozen=True)
class Panel:
    """One chart: `svg` is a whole element with a viewBox in CSS pixels; `png` has a white background."""

    svg: str
    png: bytes
    width: int

    def markdown(self) -> str:
        """An embedded Markdown image, as Dagster's metadata shows it."""
        return f"![](data:image/png;base64,{base64.b64encode(self.png).decode()})"


@dataclass(frozen=True)
class Figure:
    """One or more panels that stand side by side where there is room and below each other on a phone."""

    panels: tuple[Panel, ...]
    alt: str
    caption: str = ""

    def markdown(self) -> str:
        """All panels as embedded Markdown images."""
        return "\n\n".join(panel.markdown() for panel in self.panels)


def draw(name: str, size: tuple[int, int], paint: Callable[[Any], None]) -> Panel:
    """Paint one chart on a fresh matplotlib Axes of `size` CSS pixels; the same input gives the same bytes.

    `name` prefixes the SVG's ids and must be unique on a page. Use the colours of `_palette.LIGHT` only: others
    do not follow the theme. Raises ValueError when the SVG exceeds MAX_SVG_CHARACTERS.
    """
    import matplotlib
    from matplotlib.figure import Figure as Canvas

    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(figsize=(size[0] / 72, size[1] / 72), dpi=72, layout="constrained")
        paint(canvas.add_subplot())
        svg = to_svg(canvas, name)
        canvas.set_layout_engine("none")
        png = to_png(canvas)
    if len(svg) > MAX_SVG_CHARACTERS:
        raise ValueError(
            f"figure {name}: {len(svg)} characters of SVG, more than {MAX_SVG_CHARACTERS}; thin its points"
        )
    return Panel(svg, png, size[0])


def to_svg(canvas: Any, name: str) -> str:
    """Compact themed SVG of a matplotlib figure, with text as text and without dates."""
    buffer = io.StringIO()
    canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return compact(buffer.getvalue(), name)


def to_png(canvas: Any, dpi: int = 110) -> bytes:
    """PNG bytes of a matplotlib figure in the light colours."""
    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()
