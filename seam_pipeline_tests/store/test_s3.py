"""The store on S3-compatible storage: a real server process, real requests, real kills."""

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from seam_pipeline.errors import SeamError
from seam_pipeline.store import Store

from .s3 import BUCKET, S3, machine, numbers
from .test_store import put

for _package in ("moto", "s3fs", "boto3"):
    pytest.importorskip(_package, reason=f"{_package} is not installed (extra s3, development packages)")


def test_a_second_machine_reads_what_the_first_has_made(s3: S3, tmp_path: Path) -> None:
    here, there = machine(s3, tmp_path / "here"), machine(s3, tmp_path / "there")
    put(here, tmp_path, asset="policy", partition="pm01")
    put(here, {"n": 1}, asset="cell", partition="pm01|rm02")
    assert (there.load("policy", "pm01") / "model.txt").read_text() == "weights"
    assert there.load("cell", "pm01|rm02") == {"n": 1}
    assert there.record("cell", "pm01|rm02") == here.record("cell", "pm01|rm02")
    assert there.record("cell", "pm02|rm02") is None


def test_a_remade_artifact_leaves_nothing_of_the_old_one(s3: S3, tmp_path: Path) -> None:
    here = machine(s3, tmp_path / "here")
    put(here, {f"old{n}": pa.table({"a": [n]}) for n in range(5)})
    assert len(s3.keys("smoke/rows")) == 6
    put(here, {"new": pa.table({"a": [1]})})
    keys = [key.rsplit("/", 1)[-1] for key in s3.keys("smoke/rows")]
    assert sorted(keys) == ["new.parquet", "record.json"]
    there = machine(s3, tmp_path / "there")
    assert list(there.load("rows")) == ["new"]


def test_a_copied_folder_is_read_and_replaced(s3: S3, tmp_path: Path) -> None:
    """What `aws s3 sync` has brought there from a local store."""
    local = Store(str(tmp_path / "local"))
    put(local, {"n": 1})
    for name in ("record.json", "value.json"):
        s3.client("s3").upload_file(str(local.path("rows") / name), BUCKET, f"{s3.folder}/smoke/rows/all/{name}")
    there = machine(s3, tmp_path / "there")
    assert there.load("rows") == {"n": 1}
    put(there, {"n": 2})
    assert len(s3.keys("smoke/rows")) == 2
    assert machine(s3, tmp_path / "third").load("rows") == {"n": 2}


MANY = 80
WORK = {
    "upload": f"""
        out = store.stage("rows", None, "recipe")
        for n in range({MANY}):
            (out / f"{{n}}.txt").write_text("new")
        kind = write_payload(out, out)
        store.commit(Record("rows", None, "smoke", kind, store.hash_staged("rows", None), "recipe"))
    """,
    "download": "store.load('rows')",
}


def killed(s3: S3, home: Path, work: str, begun: Callable[[], bool]) -> None:
    """Do the work in another process and kill it once it has begun."""
    head = "import sys; from pathlib import Path; from seam_pipeline.store import Record, Store, write_payload\n"
    code = head + f"store = Store({s3.url + '/smoke'!r}, mirror=Path({str(home)!r}))\n" + textwrap.dedent(WORK[work])
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        while not begun():
            assert process.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()


def test_a_killed_upload_is_never_seen_and_goes_on(s3: S3, tmp_path: Path) -> None:
    there = machine(s3, tmp_path / "there")
    put(there, {"n": 1})
    killed(s3, tmp_path / "here", "upload", lambda: len(s3.keys("smoke/rows")) > 10)
    sent = len(s3.keys("smoke/rows")) - 2
    assert 0 < sent < MANY
    assert machine(s3, tmp_path / "third").load("rows") == {"n": 1}
    again = machine(s3, tmp_path / "here")
    assert (again.load("rows") / "7.txt").read_text() == "new"
    before = s3.requests()
    again.refresh()
    assert s3.requests() - before < MANY - sent + 20, "what had been sent is not sent again"
    folder = machine(s3, tmp_path / "third").load("rows")
    assert len(list(folder.glob("*.txt"))) == MANY
    assert len(s3.keys("smoke/rows")) == MANY + 1


def test_a_killed_download_is_noticed(s3: S3, tmp_path: Path) -> None:
    here = machine(s3, tmp_path / "here")
    out = here.stage("rows", None, "recipe")
    for n in range(MANY):
        (out / f"{n}.txt").write_text("new")
    put(here, out)
    place = tmp_path / "there" / "rows"
    killed(s3, tmp_path / "there", "download", lambda: len(list(place.rglob("*.txt"))) > 5)
    assert not (place / "all").exists()
    assert len(list(machine(s3, tmp_path / "there").load("rows").glob("[0-9]*.txt"))) == MANY


def test_a_damaged_artifact_is_refused_in_a_sentence(s3: S3, tmp_path: Path) -> None:
    put(machine(s3, tmp_path / "here"), numbers(1))
    lost = next(key for key in s3.keys("smoke/rows") if key.endswith("x.parquet"))
    s3.client("s3").delete_object(Bucket=BUCKET, Key=lost)
    with pytest.raises(SeamError, match=f"{s3.url}/smoke/rows/all is not what its record says"):
        machine(s3, tmp_path / "there").load("rows")


def test_writers_at_the_same_time_leave_one_whole_artifact(s3: S3, tmp_path: Path) -> None:
    put(machine(s3, tmp_path / "0"), numbers(0))
    failures: list[BaseException] = []

    def write(writer: int) -> None:
        try:
            store = machine(s3, tmp_path / str(writer))
            for n in range(4):
                put(store, numbers(100 * writer + n))
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(n,)) for n in (1, 2)]
    for thread in writers:
        thread.start()
    reads = 0
    while any(thread.is_alive() for thread in writers) or not reads:
        found = machine(s3, tmp_path / f"reader{reads}").load("rows")
        assert found["y"]["a"].to_pylist() == found["x"]["a"].to_pylist() * 3
        reads += 1
    assert not failures
    last = machine(s3, tmp_path / "last").load("rows")["x"]["a"].to_pylist()
    assert last in ([103], [203])


def test_one_listing_serves_all_records(s3: S3, tmp_path: Path) -> None:
    here = machine(s3, tmp_path / "here")
    for n in range(12):
        put(here, {"n": n}, asset=f"asset{n}")
    there = machine(s3, tmp_path / "there")
    before = s3.requests()
    for _ in range(10):
        assert all(there.record(f"asset{n}") for n in range(12))
        assert there.record("absent") is None
    assert s3.requests() - before <= 1 + 12
    there.refresh()
    put(here, {"n": -1}, asset="asset3")
    before = s3.requests()
    there.refresh()
    assert all(there.record(f"asset{n}") for n in range(12))
    assert s3.requests() - before <= 2, "only what has changed is read again"
    assert there.load("asset3") == {"n": -1}
