import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seam_pipeline.annotation._session import Session
from seam_pipeline.annotation.pairs import Pair, Sheet
from seam_pipeline.annotation.server import AnnotationServer
from seam_pipeline.annotation.store import AnnotationStore

from .made import pairs

Serve = Callable[..., AnnotationServer]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """A real server on a free port; several may serve one file, one after the other or at once."""
    running: list[AnnotationServer] = []

    def start(given: list[Pair] | None = None, seed: int = 0, annotator: str | None = None) -> AnnotationServer:
        chosen = pairs() if given is None else given
        store = AnnotationStore(tmp_path / "a.sqlite", make=True)
        store.add_pairs(chosen)
        server = AnnotationServer(Session(store, Sheet(chosen, seed), annotator), 0)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.close()
