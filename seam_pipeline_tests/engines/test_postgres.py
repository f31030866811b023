"""Dagster's records in a real Postgres."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from .postgres import postgres

pytest.importorskip("dagster_postgres", reason="dagster-postgres is not installed (extra postgres)")
for _program in ("initdb", "pg_ctl", "createdb"):
    if shutil.which(_program) is None:
        pytest.skip(f"{_program} is not installed", allow_module_level=True)

ROOT = Path(__file__).parents[2]
SEAM = [sys.executable, "-c", "from seam_pipeline.cli import main; main()"]


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with postgres() as variables:
        yield variables


def dagster_home(folder: Path) -> Path:
    parts = [(ROOT / name).read_text() for name in ("dagster.yaml", "deploy/dagster-postgres.yaml")]
    (folder / "dagster.yaml").write_text("\n".join(parts))
    return folder


def run(home: Path, variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ, SEAM_HOME=str(home), DAGSTER_HOME=str(home), **variables)
    return subprocess.run(
        [*SEAM, "run", *arguments], env=environment, cwd=home, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_runs_and_events_are_in_postgres(
    server: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = dagster_home(tmp_path)
    done = run(home, server, "-e", "smoke", "--select", "+rl_data")
    assert done.returncode == 0, done.stderr
    assert not (home / "history").exists()
    assert not (home / "storage" / "runs.db").exists()
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert type(instance.event_log_storage).__name__ == "PostgresEventLogStorage"
        for name in ("posts", "question_answers", "rl_data"):
            event = instance.get_latest_materialization_event(dg.AssetKey(["smoke", name]))
            assert event is not None
            assert event.asset_materialization is not None
            text = (home / "data" / "artifacts" / "smoke" / name / "all" / "record.json").read_text()
            assert event.asset_materialization.tags is not None
            assert event.asset_materialization.tags["dagster/data_version"] in text
        assert all(record.is_success for record in instance.get_runs())


def test_an_unreachable_postgres_is_one_sentence(server: dict[str, str], tmp_path: Path) -> None:
    home = dagster_home(tmp_path)
    done = run(home, server | {"DAGSTER_PG_PORT": "1"}, "-e", "smoke", "--select", "posts")
    assert done.returncode == 2
    assert done.stderr.startswith("seam: ")
    assert len(done.stderr.splitlines()) == 1
