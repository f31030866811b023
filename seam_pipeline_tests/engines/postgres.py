"""A real Postgres server process on loopback."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..store.s3 import free_port

USER, PASSWORD, DATABASE = "dagster", "secret", "dagster"
NOBODY = 65534


@contextmanager
def postgres() -> Iterator[dict[str, str]]:
    """Start a server with an empty database; yields the variables of deploy/dagster-postgres.yaml."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    port = free_port()
    (folder / "password").write_text(PASSWORD)
    as_user: list[str] = []
    if os.getuid() == 0:  # Postgres refuses root
        as_user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        for path in (folder, folder / "password"):
            os.chown(path, NOBODY, NOBODY)
    data = folder / "data"
    try:
        create = ["initdb", "-D", str(data), "-U", USER, "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "-N"]
        subprocess.run([*as_user, *create], check=True, capture_output=True, cwd=folder)
        options = f"-h 127.0.0.1 -p {port} -k {folder} -c fsync=off"
        control = [*as_user, "pg_ctl", "-D", str(data), "-w", "-l", str(folder / "log")]
        subprocess.run([*control, "-o", options, "start"], check=True, capture_output=True, cwd=folder)
        try:
            environment = dict(os.environ, PGPASSWORD=PASSWORD)
            host = ["-h", "127.0.0.1", "-p", str(port), "-U", USER]
            subprocess.run(["createdb", *host, DATABASE], check=True, env=environment)
            names = ("USERNAME", "PASSWORD", "HOST", "DB", "PORT")
            values = (USER, PASSWORD, "127.0.0.1", DATABASE, str(port))
            yield {f"DAGSTER_PG_{name}": value for name, value in zip(names, values, strict=True)}
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
