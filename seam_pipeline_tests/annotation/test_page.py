"""The page in a real browser, with real key presses and clicks."""

from collections.abc import Iterator

import pytest

pytest.importorskip("websockets")

from seam_pipeline.annotation.pairs import Pair
from seam_pipeline_tests.ui.browser import Page, browse, chromium

from .conftest import Serve
from .pressing import press, size, until, write

pytestmark = pytest.mark.skipif(chromium() is None, reason="no Chromium on this machine")

ATTACK = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\n\n![cat](http://evil.example/cat.png)'


def rich(n: int = 4) -> list[Pair]:
    answer = "## Steps\n\n1. **one**\n2. `two`\n\n```python\n" + "x = 1  # " + "long " * 60 + "\n```"
    return [Pair(f"gpt-{i}", f"How *exactly*? {i}", answer, ATTACK, {"source_1": "GPT"}) for i in range(n)]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browse(tmp_path_factory.mktemp("profile")) as tab:
        yield tab


def begin(page: Page, url: str, name: str) -> None:
    size(page, 1200, 900)
    page.open(url)
    until(page, f"location.href.startsWith({url!r}) && document.readyState === 'complete'")
    page.evaluate("sessionStorage.clear()")
    page.open(f"{url}/?")
    until(page, "document.activeElement && document.activeElement.id === 'name'")
    write(page, name)
    press(page, "Enter")
    done(page, 0)


def done(page: Page, count: int) -> None:
    """So many are judged, and the next pair has been in view long enough to be judged."""
    shown = "!page.item || secondsSeen() > TOO_SOON"
    until(page, f"document.getElementById('who').textContent.includes(', {count} of ') && !busy && ({shown})")


def test_keys_and_clicks_judge_and_go_back(page: Page, serve: Serve) -> None:
    server = serve(rich())
    begin(page, server.url, "ann")
    press(page, "1")
    done(page, 1)
    press(page, "ArrowRight")
    done(page, 2)
    page.click("^Cannot tell")
    done(page, 3)
    page.click("^Back")
    until(page, "document.querySelector('[data-choice=tie]').getAttribute('aria-pressed') === 'true'")
    press(page, "u")
    until(page, "document.getElementById('card-right').classList.contains('chosen')")
    until(page, "!busy && secondsSeen() > TOO_SOON")
    press(page, "c")
    write(page, "1 or 2? u")  # a comment: none of these is a command
    press(page, "Escape")
    press(page, "ArrowLeft")
    until(page, "!page.item.choice && !busy && secondsSeen() > TOO_SOON")
    press(page, "0")
    until(page, "!document.getElementById('end').hidden")
    store = server.session.store
    rows, history = store.judgements(), store.judgements(history=True)
    seen = ["tie" if row.choice == "tie" else "left" if row.choice == row.left else "right" for row in history]
    assert seen == ["left", "right", "tie", "left", "tie"]
    assert history[3].comment == "1 or 2? u"
    assert history[1].id == history[3].id
    assert len(rows) == 4
    assert all(row.annotator == "ann" and row.seconds is not None and 0 <= row.seconds < 60 for row in rows)


def test_a_double_click_is_one_choice(page: Page, serve: Serve) -> None:
    server = serve(rich())
    begin(page, server.url, "ann")
    page.click("^A is better")
    until(page, "page.done === 1")
    page.evaluate("seen = -60000")  # shown just now, however slow this machine is
    press(page, "1")
    page.click("^A is better")
    page.evaluate("new Promise(done => setTimeout(done, 300))")
    assert len(server.session.store.judgements(history=True)) == 1


def test_closing_and_opening_goes_on(page: Page, serve: Serve) -> None:
    begin(page, serve(rich()).url, "ann")
    press(page, "2")
    done(page, 1)
    shown = page.evaluate("document.getElementById('instruction').innerText")
    again = serve(rich())
    page.open(again.url)
    until(page, f"location.port === '{again.server_port}' && document.querySelectorAll('#people button').length === 1")
    page.click(r"^ann \(1 of 4\)$")
    until(page, "!document.getElementById('pair').hidden")
    done(page, 1)
    assert page.evaluate("document.getElementById('instruction').innerText") == shown
    page.send("Page.reload")  # the tab remembers its person
    until(
        page, "document.getElementById('who') && document.getElementById('who').textContent.startsWith('ann, 1 of 4')"
    )
    page.click("^Change name$")
    until(page, "!document.getElementById('start').hidden")


def test_answers_are_rendered_and_can_do_nothing(page: Page, serve: Serve) -> None:
    begin(page, serve(rich(1)).url, "ann")
    assert page.evaluate("document.querySelectorAll('.text ol li strong').length") == 1
    assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert "<script>window.hacked=1</script>" in page.text
    assert "image: cat" in page.text
    # Should the rendering ever fail, the page's policy still stands: nothing runs, nothing is fetched.
    page.evaluate("document.getElementById('left').innerHTML = `" + ATTACK.replace("![cat]", "") + "`; 0")
    page.evaluate("new Promise(done => setTimeout(done, 200))")
    assert page.evaluate("window.hacked") is None
    fetched = page.evaluate("performance.getEntriesByType('resource').map(entry => new URL(entry.name).pathname)")
    assert set(fetched) <= {"/annotate.css", "/annotate.js", "/api/people", "/api/next", "/x"}


def test_the_page_is_blind(page: Page, serve: Serve) -> None:
    begin(page, serve(rich()).url, "ann")
    everything = page.evaluate(
        "document.documentElement.outerHTML + JSON.stringify([...document.scripts].map(s => s.text))"
    )
    sent = page.evaluate("fetch('/api/next?annotator=ann').then(reply => reply.text())")
    for word in ("GPT", "gpt-", "source_1", "response_1"):
        assert word not in everything
        assert word not in sent


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1200])
def test_it_fits_phones_and_the_dark(page: Page, serve: Serve, width: int, dark: bool) -> None:
    begin(page, serve(rich()).url, "ann")
    size(page, width, 740, dark=dark)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("innerWidth") == width
    heights = page.evaluate("[...document.querySelectorAll('.choices button')].map(b => b.getBoundingClientRect())"
                            ".map(b => [b.height, b.bottom])")  # fmt: skip
    assert all(height >= 44 and bottom <= 740 for height, bottom in heights)
    colours = "(e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor])"
    for selector in (".answer", "[data-choice=left]", "[data-choice=tie]"):
        assert contrast(*page.evaluate(f"{colours}(document.querySelector('{selector}'))")) > 4.5, selector
    bright = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor")) > 0.5
    assert bright is not dark


def test_a_server_that_is_gone_says_that_nothing_was_saved(page: Page, serve: Serve) -> None:
    server = serve(rich())
    begin(page, server.url, "ann")
    server.shutdown()
    server.close()
    press(page, "1")
    until(page, "document.getElementById('message').textContent.includes('nothing was saved')")
    server.writing.release()
    assert server.session.store.judgements() == []


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, two: str) -> float:
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)
