import functools
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from seam_pipeline.findings import Excerpt, Finding, Table
from seam_pipeline.findings._statistics import Interval
from seam_pipeline.report.charts import Curve, Points, Series, curves, forest, ladder, scatter, stacked_bars
from seam_pipeline.report.figures import MAX_SVG_CHARACTERS, Figure
from seam_pipeline.report.heat import heat_map
from seam_pipeline.report.page import format_cell, render, units

VOID = {"meta", "link", "br", "hr", "img", "input"}


@functools.cache
def _figure(name: str) -> Figure:
    intervals = [Interval(1.0, 0.5, 1.5, 9), None, Interval(2.0, None, None, 1)]
    panel = ladder(
        name, ["0", "10", "20"], [Series("T <b> & c", intervals)], x_label="x", y_label="y", title="T <b> & c"
    )
    grid = heat_map(f"{name}-heat", {(1, 1): -1.5, (1, 2): None}, rows=[1], columns=[1, 2], title="H")
    return Figure((panel, grid), "An alternative text", "A caption")


def _finding(key: str = "one", **changes: object) -> Finding:
    arguments = {
        "key": key, "title": f"Title {key}", "question": f"Is {key} <true> & fair?", "answer": f"It is {key}.",
        "figure": _figure(key), "columns": ("name", "value"), "rows": (("a", 1.25), ("b", None), ("c", 12345)),
        "n": 42, "interval": "1.0 (95% CI 0.5 to 1.5)", "paper": "4.5%", "caveats": ("Mind the <gap>.",),
        "nulls": {"judge was silent": 7}, "more": (Table("Long", ("k",), tuple((i,) for i in range(30))),),
        "excerpts": (Excerpt("Worst", (("Candidate", "<script>alert(1)</script>"),)),), "headline": ("+4.5%", "gain"),
    }  # fmt: skip
    return Finding(**(arguments | changes))  # type: ignore[arg-type]


def _render(findings: list[Finding]) -> str:
    return render(
        findings,
        experiment_name="smoke",
        description="First.\n\nSecond <b>.",
        settings_yaml="name: smoke\nrate: 0.2\n",
        hash="abc123",
        versions={"torch": "2.13.0"},
        stage_seconds={"policy_model": 75.0, "report": 0.42},
    )


class _Page(HTMLParser):
    """Collects ids, references and text; fails on tags that do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.sources: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)
        self._attributes(attrs)

    def handle_startendtag(self, tag, attrs):
        self._attributes(attrs)

    def _attributes(self, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name == "href":
                self.links.append(value)
            if name in ("src", "srcset", "data", "action", "xlink:href"):
                self.sources.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def _parse(html: str) -> _Page:
    page = _Page()
    page.feed(html)
    page.close()
    assert page.open == []
    return page


def test_page_is_well_formed_and_holds_every_finding():
    page = _parse(_render([_finding("one"), _finding("two")]))
    text = " ".join(page.text)
    for expected in (
        "Is one <true> & fair?", "Is two <true> & fair?", "It is two.", "1.0 (95% CI 0.5 to 1.5)",
        "n = 42 instructions", "4.5%", "Mind the <gap>.", "judge was silent", "<script>alert(1)</script>", "12,345",
        "1 min 15 s", "abc123",
        "T <b> & c",
    ):  # fmt: skip
        assert expected in text
    assert len(page.ids) == len(set(page.ids))
    assert {"one", "two", "limits", "reading", "contents"} <= set(page.ids)
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))


def test_page_fetches_nothing():
    html = _render([_finding()])
    page = _parse(html)
    assert page.sources == []
    assert [link for link in page.links if not link.startswith("#")] == ["https://arxiv.org/abs/2406.07971"]
    assert not re.search(r"@import|url\((?!#)|<link|<iframe|<img", html)
    assert "default-src 'none'" in html


def test_page_without_scripts_has_everything():
    html = _render([_finding()])
    silent = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    assert "Is one" in silent
    assert html.count("<script>") == 1


def test_no_nulls_is_said():
    assert "every value was measured" in _render([_finding(nulls={})])


def test_same_input_same_bytes_in_another_process():
    code = (
        "from seam_pipeline_tests.report.test_report import _render, _finding; import hashlib; "
        "print(hashlib.sha256(_render([_finding()]).encode()).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert other == hashlib.sha256(_render([_finding()]).encode()).hexdigest()


def test_two_findings_with_one_key_are_refused():
    with pytest.raises(ValueError, match="same key"):
        _render([_finding("one"), _finding("one")])


def test_finding_survives_json():
    finding = _finding()
    assert Finding.from_dict(json.loads(json.dumps(finding.to_dict()))) == finding
    bare = _finding(figure=None, headline=None)
    assert Finding.from_dict(json.loads(json.dumps(bare.to_dict()))) == bare


def test_ragged_rows_are_refused():
    with pytest.raises(ValueError, match="2 cells under 1 columns"):
        _finding(more=(Table("x", ("one",), (("a", "b"),)),))


def test_svg_is_themed_small_text():
    panel = _figure("name").panels[0]
    assert "<text" in panel.svg
    assert "var(--c1,#0072b2)" in panel.svg
    assert not re.search(r"(?<!,)#[0-9a-f]{6}\b", panel.svg), "a colour outside the palette does not follow the theme"
    assert "matplotlib" not in panel.svg
    assert "<metadata" not in panel.svg
    assert all(identity.startswith("name-") for identity in re.findall(r'id="([^"]*)"', panel.svg))
    assert len(panel.svg) < 12_000
    assert panel.png.startswith(b"\x89PNG")
    assert panel.markdown().startswith("![](data:image/png;base64,")


def test_every_chart_uses_the_palette_only():
    interval = Interval(0.5, 0.4, 0.6, 10)
    grid = {(r, c): float(r * c) for r in range(1, 11) for c in range(1, 11)}
    many = [Curve("", range(50), range(50), i, True) for i in range(300)]
    crowd = Points("p", range(5000), range(5000))
    rows = [("a", interval, 0), ("b", interval, 6)]
    panels = [
        forest("f", rows, x_label="x", reference=(0.5, "chance"), marks=[0.4, None]),
        curves("c", many, x_label="x", y_label="y", level=0.0),
        scatter("s", [crowd, Points("q", [1], [2], 1, [(1.0, 3.0)])], x_label="x", y_label="y"),
        stacked_bars("b", ["one", "two"], [("train", [5, 6]), ("dev", [1, 0])], x_label="rows"),
        heat_map("h", grid, rows=range(1, 11), columns=range(1, 11), title="grid", deep_is_low=True),
    ]  # fmt: skip
    for panel in panels:
        assert not re.search(r"(?<!,)#[0-9a-f]{6}\b", panel.svg)
        assert len(panel.svg) < MAX_SVG_CHARACTERS


def test_cells_read_well():
    assert [format_cell(v) for v in (None, 3, 12000, 0.12345, -2.5, 1234.56, "x")] == [
        "–", "3", "12,000", "0.123", "−2.50", "1,234.6", "x",
    ]  # fmt: skip
    assert (units("run", 1), units("run", 2), units("question per cell", 3)) == ("run", "runs", "questions per cell")


def test_findings_and_page_import_without_matplotlib_or_torch():
    code = (
        "import sys; import seam_pipeline.findings, seam_pipeline.report.page, seam_pipeline.findings.data_overview; "
        "sys.exit(any(m in sys.modules for m in ('matplotlib', 'torch', 'dagster')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
