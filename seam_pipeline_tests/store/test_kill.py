"""A kill after an artifact has been computed and hashed, before it is in its place."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from seam_pipeline.store import Record, Store

MAKE = """
import os, signal, sys
from seam_pipeline.store import Record, Store

class Killed(Store):
    def {method}(self, *arguments):
        found = super().{method}(*arguments) if {after} else None
        os.kill(os.getpid(), signal.SIGKILL)

store = Killed(sys.argv[1])
out = store.stage("policy", "pm01", "recipe")
(out / "weights").write_text("hours of work")
store.commit(Record("policy", "pm01", "smoke", "folder", store.hash_staged("policy", "pm01"), "recipe"))
"""


@pytest.mark.parametrize(("method", "after"), [("hash_staged", True), ("commit", False)])
def test_what_was_computed_is_taken_up_by_the_same_recipe(tmp_path: Path, method: str, after: bool) -> None:
    script = MAKE.format(method=method, after=after)
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    store = Store(str(tmp_path))
    assert store.record("policy", "pm01") is None
    assert store.unfinished("policy", "pm01") == "recipe"
    out = store.stage("policy", "pm01", "recipe")
    assert (out / "weights").read_text() == "hours of work"
    store.commit(Record("policy", "pm01", "smoke", "folder", store.hash_staged("policy", "pm01"), "recipe"))
    assert sorted(file.name for file in store.load("policy", "pm01").iterdir()) == ["record.json", "weights"]
    assert store.unfinished("policy", "pm01") is None
