"""A headless Chromium driven over the DevTools protocol: open a page, wait, click by text, look."""

import base64
import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1500,1000",
)
CENTRE = """
(() => {{
  const wanted = new RegExp({pattern});
  const found = [...document.querySelectorAll({selector})].filter(e => {{
    const box = e.getBoundingClientRect();
    return wanted.test((e.innerText || "").trim()) && box.width > 0 && box.height > 0 && !e.disabled;
  }}).at({nth});
  if (!found) return null;
  found.scrollIntoView({{block: "center"}});
  const box = found.getBoundingClientRect();
  return [box.left + box.width / 2, box.top + box.height / 2];
}})()
"""


def chromium() -> str | None:
    """The browser's command, or None when there is none."""
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.number = socket, 0

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv(timeout=60))
            if answer.get("id") == self.number:
                assert "error" not in answer, answer
                return dict(answer["result"])

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression."""
        answer = self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, url: str) -> None:
        """Go to an address."""
        self.send("Page.navigate", url=url)

    @property
    def text(self) -> str:
        """All that can be read on the page."""
        return str(self.evaluate("document.body ? document.body.innerText : ''"))

    def wait(self, pattern: str, seconds: float = 60) -> str:
        """The page's text once it matches; fails with the text that is there instead."""
        until = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert time.monotonic() < until, f"{pattern!r} is not on the page:\n{self.text[:3000]}"
            time.sleep(0.3)
        return self.text

    def click(self, pattern: str, selector: str = "button, a", nth: int = 0, seconds: float = 120) -> None:
        """Move the mouse over the nth element whose text matches, once it has come to rest, and press it."""
        until = time.monotonic() + seconds
        script = CENTRE.format(pattern=json.dumps(pattern), selector=json.dumps(selector), nth=nth)
        before, at = None, self.evaluate(script)
        while at is None or at != before:
            assert time.monotonic() < until, f"no {selector} with {pattern!r}:\n{self.text[:3000]}"
            time.sleep(0.5)
            before, at = at, self.evaluate(script)
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1)

    def screenshot(self, file: Path) -> None:
        """Write what is seen as PNG."""
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browse(profile: Path) -> Iterator[Page]:
    """A browser with a fresh profile and one tab."""
    command = chromium()
    assert command is not None
    process = subprocess.Popen(
        [command, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with connect(_address(profile), max_size=None, open_timeout=30) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.wait(timeout=20)


def _address(profile: Path, seconds: float = 60) -> str:
    """Of the tab: Chromium writes its port into the profile."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        file = profile / "DevToolsActivePort"
        if file.is_file() and (lines := file.read_text().split()):
            with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json/list", timeout=20) as answer:
                pages = [page for page in json.load(answer) if page["type"] == "page"]
            if pages:
                return str(pages[0]["webSocketDebuggerUrl"])
        time.sleep(0.2)
    raise AssertionError("Chromium did not start")
