"""A real S3 server process on loopback, with users whose keys it checks."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest

from seam_pipeline.store import Store

BUCKET, USER = "studies", "study"
ALLOW_ALL = '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}'
SETTING_UP = 4
"""Requests that the server takes before it checks keys: the bucket, a user, its policy, its key."""


@dataclass(frozen=True)
class S3:
    """Where the server is, who may use it, and what it has been asked."""

    environment: dict[str, str]
    log: Path
    folder: str = "all"

    @property
    def url(self) -> str:
        """Where a test's stores lie."""
        return f"s3://{BUCKET}/{self.folder}"

    def requests(self) -> int:
        """How many requests the server has answered."""
        return len(re.findall(r'"(GET|PUT|POST|HEAD|DELETE) ', self.log.read_text()))

    def keys(self, below: str) -> list[str]:
        """Names of all objects below a folder of the test's."""
        pages = (
            self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{self.folder}/{below}/")
        )
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def client(self, service: str) -> Any:
        """boto3's client with the user's keys."""
        import boto3

        return boto3.client(
            service,
            endpoint_url=self.environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(folder: Path, port: int | None = None, checked: bool = True) -> Iterator[S3]:
    """Start the server with an empty bucket and one user; ends with the block. Unchecked: any keys will do."""
    port, log = port or free_port(), folder / "s3.log"
    environment = dict(os.environ, **({"INITIAL_NO_AUTH_ACTION_COUNT": str(SETTING_UP)} if checked else {}))
    with log.open("w") as stream:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=stream, stderr=stream, env=environment)
    try:
        _wait(port, server, log)
        places = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
        anyone = S3({**places, "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any"}, log)
        anyone.client("s3").create_bucket(Bucket=BUCKET)
        yield _with_user(anyone, places) if checked else anyone
    finally:
        server.terminate()
        server.wait(10)


def _with_user(anyone: S3, places: dict[str, str]) -> S3:
    users = anyone.client("iam")
    users.create_user(UserName=USER)
    users.put_user_policy(UserName=USER, PolicyName="all", PolicyDocument=ALLOW_ALL)
    key = users.create_access_key(UserName=USER)["AccessKey"]
    keys = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    return S3({**places, **keys}, anyone.log)


def _wait(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if server.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"the S3 server did not start: {log.read_text()[-2000:]}")


def use(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process talk to a server as somebody."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def machine(s3: S3, home: Path) -> Store:
    """A machine's view of the store, with its mirror at home."""
    return Store(f"{s3.url}/smoke", mirror=home)


def numbers(value: int) -> dict[str, pa.Table]:
    """An artifact of two files that belong together."""
    return {"x": pa.table({"a": [value]}), "y": pa.table({"a": [value] * 3})}
