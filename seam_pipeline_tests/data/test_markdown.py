import random
import re
import xml.etree.ElementTree as ET
from html import unescape

import pytest
from markdownify import markdownify

from seam_pipeline.data import to_markdown

from .dumps import REAL, real


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        ("<p>a\nb</p>\n\n<p>c</p>\n", "a b\n\nc"),
        ("<p>a <b> bold</b>, <em>it</em> and <code>x = 1</code></p>", "a  **bold**, *it* and `x = 1`"),
        ("<pre><code>if x:\n\n    y &lt; 1\n</code></pre>", "```\nif x:\n\n    y < 1\n```"),
        ('<pre class="lang-py s"><code>x\n</code></pre>', "```py\nx\n```"),
        ('<pre><code class="language-c">a ``` b</code></pre>', "````c\na ``` b\n````"),
        ("<p><code>a`b</code></p>", "``a`b``"),
        ('<p>see <a href="http://x.y/">this</a></p>', "see [this](http://x.y/)"),
        ('<p><a href="http://x.y/">http://x.y/</a></p>', "http://x.y/"),
        ('<p><img src="i.png" alt="an image"></p>', "![an image](i.png)"),
        ("<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>", "- a\n  - b\n- c"),
        ('<ol start="3"><li><p>a</p><p>b</p></li><li>c</li></ol>', "3. a\n\n   b\n4. c"),
        ("<ol><li>run<pre><code>x\n\n y</code></pre></li></ol>", "1. run\n\n   ```\n   x\n\n    y\n   ```"),
        ("<blockquote><p>q</p><p>r</p></blockquote>", "> q\n>\n> r"),
        ("<h2>T</h2><p>a<br>b</p><hr>", "## T\n\na  \nb\n\n---"),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td></tr></table>", "| a | b |\n| --- | --- |\n| 1 |  |"),
        ("10<sup>3</sup> $a_1 * b$", "10<sup>3</sup> $a_1 * b$"),
        ("<p>a</p><script>alert(1)</script><!-- c --><p>b", "a\n\nb"),
        ("plain  text", "plain text"),
        ("<p> </p>", ""),
        ("<", "<"),
    ],
)
def test_by_hand(html: str, markdown: str) -> None:
    assert to_markdown(html) == markdown


def test_deep_nesting_does_not_break() -> None:
    for tag in ("blockquote", "b", "ul"):
        assert isinstance(to_markdown(f"<{tag}>" * 5000 + "x" + f"</{tag}>" * 5000), str)


@real
def test_says_the_same_words_as_markdownify() -> None:
    bodies = [
        row.get("Body") or ""
        for site in ("beer_2020-05", "quantumcomputing_2018-09", "cardano_2021-12")
        for _, row in ET.iterparse(REAL / site / "Posts.xml")
        if row.tag == "row"
    ]
    different = 0
    for body in random.Random(0).sample(bodies, 400):
        body = re.sub(r' title="[^"]*"', "", body)  # we leave the tooltips of links out
        theirs = markdownify(body, escape_asterisks=False, escape_underscores=False, heading_style="ATX")
        ours = to_markdown(body)
        different += _words(theirs) != _words(re.sub("</?su[bp]>", "", ours))
        for code in re.findall(r"<pre[^>]*><code>([^<]*)</code></pre>", body):
            assert all(line.strip() in ours for line in unescape(code).splitlines())
    assert different == 0


def _words(text: str) -> str:
    return re.sub(r"[\W_]+", "", text)
