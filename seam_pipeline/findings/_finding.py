"""What one section of the study found: numbers, sentence, figure, sample size, nulls."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from seam_pipeline.report.figures import Figure, Panel

Value = str | int | float | None
Row = tuple[Value, ...]


@dataclass(frozen=True)
class Table:
    """A further table of a section."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Excerpt:
    """Texts quoted as they are: `parts` are (label, text) pairs."""

    heading: str
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Finding:
    """One section of the report.

    `answer` is one sentence built from the numbers; `interval` names the estimate's 95% interval and its unit;
    `n` counts `unit`s; `paper` is the paper's number in words; `nulls` counts what could not be measured, by reason;
    `headline` is (number, what it is) for the top of the report; `numbers` are the same results for machines.
    """

    key: str
    title: str
    question: str
    answer: str
    figure: Figure | None
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    n: int
    interval: str
    paper: str | None
    caveats: tuple[str, ...] = ()
    nulls: Mapping[str, int] = field(default_factory=dict)
    unit: str = "instruction"
    more: tuple[Table, ...] = ()
    excerpts: tuple[Excerpt, ...] = ()
    headline: tuple[str, str] | None = None
    numbers: Mapping[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for table in (Table(self.title, self.columns, self.rows), *self.more):
            for row in table.rows:
                if len(row) != len(table.columns):
                    raise ValueError(
                        f"finding {self.key}: a row of {len(row)} cells under {len(table.columns)} columns"
                    )

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready copy (PNG bytes in base64); `from_dict` reads it back to an equal Finding."""
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if self.figure is not None:
            panels = [
                {"svg": p.svg, "png": base64.b64encode(p.png).decode(), "width": p.width} for p in self.figure.panels
            ]
            plain["figure"] = {"panels": panels, "alt": self.figure.alt, "caption": self.figure.caption}
        plain["more"] = [{"caption": t.caption, "columns": t.columns, "rows": t.rows} for t in self.more]
        plain["excerpts"] = [{"heading": e.heading, "parts": e.parts} for e in self.excerpts]
        plain["nulls"], plain["numbers"] = dict(self.nulls), dict(self.numbers)
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> "Finding":
        """The inverse of `to_dict`, also after a trip through JSON."""
        figure = plain["figure"]
        if figure is not None:
            panels = tuple(Panel(p["svg"], base64.b64decode(p["png"]), p["width"]) for p in figure["panels"])
            figure = Figure(panels, figure["alt"], figure["caption"])
        more = tuple(Table(t["caption"], tuple(t["columns"]), _rows(t["rows"])) for t in plain["more"])
        excerpts = tuple(Excerpt(e["heading"], tuple((a, b) for a, b in e["parts"])) for e in plain["excerpts"])
        return cls(
            **{
                **plain,
                "figure": figure,
                "columns": tuple(plain["columns"]),
                "rows": _rows(plain["rows"]),
                "caveats": tuple(plain["caveats"]),
                "more": more,
                "excerpts": excerpts,
                "headline": None if plain["headline"] is None else tuple(plain["headline"]),
            }
        )

    def with_caveat(self, *caveats: str) -> "Finding":
        """A copy with further caveats (for what only the caller knows, such as a shortened run)."""
        return replace(self, caveats=self.caveats + caveats)


def _rows(rows: Any) -> tuple[Row, ...]:
    return tuple(tuple(row) for row in rows)
