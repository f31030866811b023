"""A Ray cluster of two nodes on this machine, and a part of the smoke study on it.

`unshare --net --pid --fork --mount-proc --kill-child python -m seam_pipeline_tests.engines.ray_cluster FOLDER`: in a
network of its own, since Ray listens on every interface, and all its processes end with this one. Leaves `nodes.json`
in the folder: the address of the node that each step ran on, by run and step.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

DASHBOARD = "http://127.0.0.1:8265"
HEAD, SECOND = "127.0.0.1", "127.0.0.2"
RUNS = (
    ("posts question_answers sft_data preference_data rl_data base_model", None),
    ("policy_model policy_quality", "pm01"),
    ("policy_model policy_quality", "pm02"),
    ("policy_ladder", None),
)
"""Assets and partition of each Dagster run; the last reads all partitions of its input."""


def experiment(folder: Path, executor: str) -> Path:
    """The smoke experiment with another executor."""
    text = (files("seam_pipeline.experiment") / "shipped" / "smoke.yaml").read_text("utf-8")
    raw: dict[str, Any] = yaml.safe_load(text)
    raw["compute"] |= {"executor": executor, "resources": {"heavy": {"cpu": 1, "memory": "256Mi"}}}
    file = folder / f"{executor}.yaml"
    file.write_text(yaml.safe_dump(raw))
    return file


def start(folder: Path, environment: Mapping[str, str]) -> None:
    """Two nodes with one CPU each; they end with this process's namespace."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    common = ["--num-cpus=1", "--num-gpus=0", "--memory=1000000000", "--object-store-memory=80000000"]
    head = ["--head", f"--node-ip-address={HEAD}", "--port=6379", "--dashboard-host=127.0.0.1", f"--temp-dir={folder}"]
    second = [f"--address={HEAD}:6379", f"--node-ip-address={SECOND}"]
    for place in (head, second):
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", *place, *common, "--disable-usage-stats"]
        subprocess.run(command, check=True, env=environment)
    from ray.util.state import list_nodes

    for _ in range(120):
        if sum(node.state == "ALIVE" for node in list_nodes(address=DASHBOARD)) == 2:
            return
        time.sleep(0.5)
    raise RuntimeError("the second node did not join")


def materialize(assets: str, partition: str | None, environment: Mapping[str, str]) -> None:
    """One Dagster run by Dagster's own command."""
    chosen = " or ".join(f'key:"smoke/{name}"' for name in assets.split())
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "-m", "seam_pipeline.definitions"]
    command += ["--select", chosen, *(["--partition", partition] if partition else [])]
    subprocess.run(command, check=True, env=environment)


def nodes_of_steps() -> list[tuple[str, str, str]]:
    """(run, step, node's address) of every step, as Ray's job server says."""
    from ray.job_submission import JobSubmissionClient

    return [
        (
            job.metadata["dagster/run-id"],
            job.metadata["dagster/op"],
            str(urlsplit(job.driver_agent_http_address).hostname),
        )
        for job in JobSubmissionClient(DASHBOARD).list_jobs()
        if job.metadata and job.driver_agent_http_address
    ]


def command_of_steps(folder: Path) -> Path:
    """A folder with the `dagster` that Ray's jobs find on PATH: this interpreter's, wherever it is installed."""
    script = folder / "bin" / "dagster"
    script.parent.mkdir()
    script.write_text(f"#!{sys.executable}\nfrom dagster._cli import main\nmain()\n")
    script.chmod(0o755)
    return script.parent


def main(folder: Path) -> None:
    """Start the cluster and make the assets of RUNS on it."""
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    path = f"{command_of_steps(folder)}{os.pathsep}{os.environ['PATH']}"
    places = {"SEAM_HOME": str(home), "DAGSTER_HOME": str(home), "SEAM_EXPERIMENT": str(experiment(folder, "ray"))}
    environment = dict(os.environ, **places, PATH=path, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
    start(Path(tempfile.mkdtemp(prefix="ray")), environment)  # a short path: it has sockets
    for assets, partition in RUNS:
        began = time.monotonic()
        materialize(assets, partition, environment | {"RAY_ADDRESS": DASHBOARD})
        print(f"{assets} {partition}: {time.monotonic() - began:.0f} s", flush=True)
    (folder / "nodes.json").write_text(json.dumps(nodes_of_steps()))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
