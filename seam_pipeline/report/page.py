"""The report: one self-contained HTML file that reads without scripts, on a phone, in the dark and on paper."""

import re
from collections.abc import Mapping, Sequence

from seam_pipeline.findings import Finding
from seam_pipeline.findings._finding import Value
from seam_pipeline.findings._format import number

from ._palette import DARK, LIGHT, css_variables

FOLD_ABOVE = 20
"""Longer tables are folded; they unfold without scripts, and in print."""

_NUMERIC = re.compile(r"[+−]?[\d.,]+%?( to [+−]?[\d.,]+%?)?$|–$")


def render(
    findings: Sequence[Finding],
    *,
    experiment_name: str,
    description: str,
    settings_yaml: str,
    hash: str,
    versions: Mapping[str, str],
    stage_seconds: Mapping[str, float] | None = None,
    template: str = "report.html",
    commands: Sequence[tuple[str, str]] = (),
) -> str:
    """HTML of the whole report, sections in the findings' order; the same arguments give the same text.

    `settings_yaml` is the resolved experiment, `hash` its hash, `versions` package to version, `stage_seconds` wall
    time per stage. `template` audit.html is the page of an audit, with next `commands` (what for, command line).
    Nothing in the page is fetched: styles, figures and the theme switch are inside. Text is escaped.
    Raises ValueError for two findings with one key.
    """
    import jinja2
    from markupsafe import Markup

    keys = [finding.key for finding in findings]
    if len(set(keys)) < len(keys):
        raise ValueError(f"findings with the same key: {sorted({key for key in keys if keys.count(key) > 1})}")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("seam_pipeline.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "cell": format_cell,
        "numeric": is_numeric,
        "short": is_short,
        "units": units,
        "svg": lambda text: Markup(_inline(str(text))),
    }
    css = environment.get_template("report.css").render(light=css_variables(LIGHT), dark=css_variables(DARK))
    return environment.get_template(template).render(
        findings=findings,
        name=experiment_name,
        description=[part.strip() for part in description.split("\n\n") if part.strip()],
        settings_yaml=settings_yaml,
        hash=hash,
        versions=dict(versions),
        stages=None if stage_seconds is None else {stage: _duration(s) for stage, s in stage_seconds.items()},
        total=None if stage_seconds is None else _duration(sum(stage_seconds.values())),
        css=Markup(css),
        commands=commands,
        fold_above=FOLD_ABOVE,
    )


def format_cell(value: Value) -> str:
    """Text of a table cell: integers with separators, floats with two or three digits, an en dash for None."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    size = abs(value)
    return number(value, 1 if size >= 100 else 2 if size >= 1 else 3)


def is_numeric(value: Value) -> bool:
    """Whether the cell is aligned like a number."""
    return not isinstance(value, str) or bool(_NUMERIC.match(value))


def is_short(value: Value) -> bool:
    """Whether a text cell is kept on one line."""
    return isinstance(value, str) and len(value) <= 22


def units(unit: str, n: int) -> str:
    """`1 run`, but `2 runs` and `2 test questions per cell`."""
    head, separator, tail = unit.partition(" per ")
    return unit if n == 1 else f"{head}s{separator}{tail}"


def _inline(svg: str) -> str:
    """An SVG element for an HTML body, where the namespace is implied."""
    return svg.replace(' xmlns="http://www.w3.org/2000/svg"', "", 1)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"
