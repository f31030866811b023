"""The S3 server that the tests of this folder share."""

import dataclasses
import uuid
from collections.abc import Iterator

import pytest

from .s3 import S3, serving, use


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with serving(tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture
def s3(s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """The server, with a folder of the test's own."""
    use(s3_server.environment, monkeypatch)
    return dataclasses.replace(s3_server, folder=uuid.uuid4().hex[:8])
