"""`seam ui` as a user sees it: a real server, a real browser, a partition materialised by clicking."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from seam_pipeline_tests.ui.browser import Page, browse, chromium

SEAM = [sys.executable, "-c", "from seam_pipeline.cli import main; main()"]
PATIENCE = 600.0
"""Seconds; a loaded machine is many times slower than an idle one."""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(chromium() is None, reason="no Chromium here")]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def asked(base: str, query: str) -> object:
    """GraphQL's answer, or None while nobody answers."""
    body = json.dumps({"query": query}).encode()
    request = urllib.request.Request(f"{base}/graphql", data=body, headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)["data"]
    except OSError:
        return None


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smoke study as far as its base model."""
    home = tmp_path_factory.mktemp("ui")
    environment = dict(os.environ, SEAM_HOME=str(home))
    environment.pop("DAGSTER_HOME", None)
    subprocess.run(
        [*SEAM, "run", "-e", "smoke", "--select", "+base_model,+sft_data"], env=environment, cwd=home, check=True
    )
    return home


@pytest.fixture(scope="module")
def base(home: Path) -> Iterator[str]:
    """Address of a running `seam ui`; says how long it took to answer."""
    environment = dict(os.environ, SEAM_HOME=str(home))
    environment.pop("DAGSTER_HOME", None)
    port, started = free_port(), time.monotonic()
    command = [*SEAM, "ui", "-e", "smoke", "--port", str(port)]
    with (home / "ui.log").open("w") as log:
        process = subprocess.Popen(command, env=environment, cwd=home, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        while not asked(url, "{ assetNodes { id } }"):
            assert process.poll() is None, (home / "ui.log").read_text()[-3000:]
            assert time.monotonic() - started < PATIENCE, (home / "ui.log").read_text()[-3000:]
            time.sleep(0.1)
        print(f"\nseam ui answered after {time.monotonic() - started:.1f} s, load {os.getloadavg()[0]:.1f}")
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE)


@pytest.fixture(scope="module")
def page(home: Path, base: str) -> Iterator[Page]:
    with browse(home / "chromium") as page:
        page.open(f"{base}/asset-groups")
        yield page


def test_groups_are_listed_in_the_order_of_the_study(page: Page, base: str) -> None:
    page.open(f"{base}/asset-groups")
    text = page.wait("9_report", PATIENCE)
    places = [text.index(name) for name in ("1_data", "2_models", "3_candidates", "4_scores", "5_selection", "6_rl")]
    assert places == sorted(places)


def test_a_learning_curve_shows(page: Page, base: str) -> None:
    page.open(f"{base}/assets/smoke/base_model")
    page.wait("Show Markdown", PATIENCE)
    page.click("^.Show Markdown.$", "*", nth=-1)
    until = time.monotonic() + PATIENCE
    while page.evaluate("Math.max(0, ...[...document.querySelectorAll('img')].map(i => i.naturalWidth))") < 300:
        assert time.monotonic() < until
        time.sleep(0.3)


def test_a_partition_is_materialised_by_clicking(page: Page, base: str, home: Path) -> None:
    page.open(f"{base}/assets/smoke/policy_model")
    page.wait(r"`?pm01`? 24, `?pm02`? 0", PATIENCE)
    page.click("^Materialize", "button")
    page.wait("Partition selection", PATIENCE)
    page.click("^Missing$", "button")
    page.wait("2 partitions", PATIENCE)
    page.click("^$", "[class*=tagsContainer] [aria-label=close]")  # not pm01
    page.wait("1 partition", PATIENCE)
    page.click("^Launch 1 run$", "button")
    record = home / "data" / "artifacts" / "smoke" / "policy_model" / "pm02" / "record.json"
    until = time.monotonic() + PATIENCE
    while not record.is_file():
        assert time.monotonic() < until, (home / "ui.log").read_text()[-3000:]
        time.sleep(0.5)
    page.open(f"{base}/assets/smoke/policy_model?view=partitions&partition=pm02")
    text = page.wait(r"policy rank 2 of 2 \(0 examples\)", PATIENCE)
    assert str(record.parent) in text
    page.screenshot(home / "partition.png")
