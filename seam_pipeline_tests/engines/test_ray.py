"""The same assets on a Ray cluster of two nodes as in one process."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .ray_cluster import HEAD, RUNS, SECOND, experiment

pytest.importorskip("ray", reason="ray is not installed (extra ray)")
pytest.importorskip("dagster_ray", reason="dagster-ray is not installed (extra ray)")

ROOT = Path(__file__).parents[2]
ALONE = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
SEAM = [sys.executable, "-c", "from seam_pipeline.cli import main; main()"]


def may_unshare() -> bool:
    return shutil.which("unshare") is not None and subprocess.run([*ALONE, "true"], check=False).returncode == 0


def records(home: Path) -> dict[str, tuple[str, str]]:
    """Recipe and data version by artifact."""
    store = home / "data" / "artifacts" / "smoke"
    found = {}
    for file in store.rglob("record.json"):
        record = json.loads(file.read_text())
        found[file.parent.relative_to(store).as_posix()] = (record["recipe"], record["data_version"])
    return found


@pytest.mark.slow
@pytest.mark.skipif(not may_unshare(), reason="Ray listens on every interface, and `unshare --net` is not allowed here")
def test_two_nodes_make_what_one_process_makes(tmp_path: Path) -> None:
    command = [*ALONE, sys.executable, "-m", "seam_pipeline_tests.engines.ray_cluster", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    steps = json.loads((tmp_path / "nodes.json").read_text())
    assert len(steps) == sum(len(assets.split()) for assets, _ in RUNS)
    assert {node for _, _, node in steps} == {HEAD, SECOND}
    home = tmp_path / "alone"
    home.mkdir()
    assets = " ".join(dict.fromkeys(name for names, _ in RUNS for name in names.split()))
    environment = dict(os.environ, SEAM_HOME=str(home), OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    environment.pop("DAGSTER_HOME", None)
    local = [*SEAM, "run", "-e", str(experiment(tmp_path, "local")), "--select", assets]
    subprocess.run(local, env=environment, cwd=home, check=True)
    assert records(tmp_path / "home") == records(home)
