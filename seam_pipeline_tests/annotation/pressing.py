"""Real key presses in the browser, and how its window looks."""

import time

from seam_pipeline_tests.ui.browser import Page

_KEYS = {"ArrowLeft": (37, ""), "ArrowRight": (39, ""), "Escape": (27, ""), "Enter": (13, "\r")}


def press(page: Page, key: str) -> None:
    """One key down and up, as the keyboard sends it."""
    code, text = _KEYS.get(key) or (ord(key.upper()), key)
    shared = {"key": key, "windowsVirtualKeyCode": code}
    page.send("Input.dispatchKeyEvent", type="keyDown", **shared, **({"text": text} if text else {}))
    page.send("Input.dispatchKeyEvent", type="keyUp", **shared)


def write(page: Page, text: str) -> None:
    """Text into the field that has the focus."""
    page.send("Input.insertText", text=text)


def until(page: Page, script: str, seconds: float = 20) -> None:
    """Wait for a JavaScript condition; one that fails while a page loads is not true yet."""
    end = time.monotonic() + seconds
    while not page.evaluate(f"(() => {{ try {{ return Boolean({script}) }} catch {{ return false }} }})()"):
        assert time.monotonic() < end, f"{script} did not come true:\n{page.text[:2000]}"
        time.sleep(0.03)


def size(page: Page, width: int, height: int, *, dark: bool = False) -> None:
    """The window's size and the system's colour scheme."""
    shape = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    page.send("Emulation.setDeviceMetricsOverride", **shape)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    page.send("Emulation.setEmulatedMedia", features=[scheme])
