"""The smoke study as a new user runs it: the real command, the real Dagster, from nothing to the report."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SEAM = [sys.executable, "-c", "from seam_pipeline.cli import main; main()"]


def call(home: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, SEAM_HOME=str(home), SEAM_EXPERIMENT="smoke")
    environment.pop("DAGSTER_HOME", None)
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    done = call(home, *SEAM, "run", "-e", "smoke")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " 0 failed" in done.stdout
    return home


def records(home: Path) -> dict[str, str]:
    found = {}
    for path in sorted((home / "data" / "artifacts" / "smoke").rglob("record.json")):
        record = json.loads(path.read_text())
        found[f"{record['asset']}|{record['partition']}"] = record["data_version"]
    return found


def test_the_report_answers_every_question(home: Path) -> None:
    page = (home / "data" / "artifacts" / "smoke" / "report" / "all" / "report.html").read_text()
    for question in (
        "Do policies get better with more supervised data?",
        "Do reward models get better with more preference pairs?",
        "Does PPO raise the reward that it is given?",
        "Does a low score predict a real mismatch?",
    ):
        assert question in page
    assert str(home) not in page


def test_a_second_run_makes_nothing(home: Path) -> None:
    before = records(home)
    done = call(home, *SEAM, "run", "-e", "smoke")
    assert done.returncode == 0
    assert "everything is up to date" in done.stdout
    part = call(home, *SEAM, "run", "-e", "smoke", "--select", "posts")
    assert "what was chosen, given its inputs, is up to date" in part.stdout
    assert records(home) == before
    assert "nothing would run" in call(home, *SEAM, "plan", "-e", "smoke").stdout


def test_dagsters_own_command_makes_the_same_artifact(home: Path) -> None:
    before = records(home)
    environment = dict(
        os.environ, SEAM_HOME=str(home), DAGSTER_HOME=str(home), SEAM_EXPERIMENT="smoke", OMP_NUM_THREADS="1"
    )
    command = ["-m", "dagster", "asset", "materialize", "-m", "seam_pipeline.definitions"]
    chosen = ["--select", 'key:"smoke/policy_model"', "--partition", "pm01"]
    done = subprocess.run(
        [sys.executable, *command, *chosen], cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert records(home) == before
