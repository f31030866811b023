"""`seam ui`: Dagster's web interface on this machine."""

import os
import signal
import socket
import sys

import click

from ..errors import SeamError
from ._options import data_option, experiment_option


@click.command()
@experiment_option()
@data_option()
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
def ui(experiment_name: str | None, port: int) -> None:
    """Open the study in Dagster on 127.0.0.1."""
    from ..defs._home import dagster_home, open_store
    from ..defs._refusals import check
    from ..defs.graph import build_study
    from ..experiment import load_experiment

    experiment = load_experiment(experiment_name)
    check(build_study(experiment), open_store(experiment))
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise SeamError(f"Port {port} on 127.0.0.1 is in use; stop what runs there or give --port.")
    home = dagster_home()
    environment = dict(os.environ, DAGSTER_HOME=str(home))
    if experiment_name:
        environment["SEAM_EXPERIMENT"] = experiment_name
    dagster = [sys.executable, "-m", "dagster", "dev", "-m", "seam_pipeline.definitions"]
    click.echo(f"http://127.0.0.1:{port} (records in {home})")
    sys.stdout.flush()
    # Where a script starts this in the background, SIGINT is ignored, and Dagster would treat SIGTERM like it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Becomes Dagster: whoever stops this process stops Dagster, which then ends its servers.
    os.execve(sys.executable, [*dagster, "-h", "127.0.0.1", "-p", str(port)], environment)
