import pytest
from lxml import html

from seam_pipeline.annotation._markdown import render

ATTACKS = """
<script>alert(1)</script> <img src=x onerror=alert(1)>

![cat" onerror="alert(1)](http://evil.example/x.png) ![](data:image/png;base64,AAAA)

[a](javascript:alert(1)) [b](data:text/html,<script>alert(1)</script>) [c](vbscript:x) <javascript:alert(1)>

```"><script>alert(1)</script>
</code></pre><script>alert(1)</script>
```

<iframe src="//evil.example"></iframe> <svg onload=alert(1)> <style>*{background:url(//evil.example)}</style>

| <b onclick=x>a</b> | b |
|:--:|--:|
| `<i>` | [d](http://ok.example "t") |
"""


def test_answers_can_do_nothing() -> None:
    shown = html.fragment_fromstring(render(ATTACKS), create_parent=True)
    tags = {element.tag for element in shown.iter()}
    assert tags <= {"div", "p", "span", "pre", "code", "table", "thead", "tbody", "tr", "th", "td", "a"}
    attributes = {name for element in shown.iter() for name in element.attrib}
    assert attributes <= {"class", "href", "target", "rel", "align", "title"}
    assert [a.get("href") for a in shown.iter("a")] == ["http://ok.example"]
    assert [a.get("rel") for a in shown.iter("a")] == ["noopener noreferrer nofollow"]
    text = shown.text_content()
    for piece in ("<script>alert(1)</script>", "<img src=x onerror=alert(1)>", 'image: cat" onerror="alert(1)', "<i>"):
        assert piece in text
    assert "evil.example/x.png" not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*a* **b** `c`", "<p><em>a</em> <strong>b</strong> <code>c</code></p>\n"),
        ("1. a\n2. b", "<ol>\n<li>a</li>\n<li>b</li>\n</ol>\n"),
        ("", ""),
    ],
)
def test_markdown_is_rendered(text: str, shown: str) -> None:
    assert render(text) == shown
