"""Storage that refuses or cannot be reached: one sentence, nothing lost."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import dagster as dg
import pytest
from filelock import FileLock

from seam_pipeline.defs._update import Display, Outcome, update
from seam_pipeline.errors import SeamError
from seam_pipeline.store import Record, Store, write_payload

from ..defs.toy import toy_study
from .s3 import S3, USER, free_port, machine, numbers, serving, use
from .test_store import put

for _package in ("moto", "s3fs", "boto3"):
    pytest.importorskip(_package, reason=f"{_package} is not installed (extra s3, development packages)")

DENY_WRITES = '{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "s3:PutObject", "Resource": "*"}]}'


def test_refused_writes_keep_the_artifact_for_the_next_run(s3: S3, tmp_path: Path) -> None:
    here = machine(s3, tmp_path / "here")
    users = s3.client("iam")
    users.put_user_policy(UserName=USER, PolicyName="deny", PolicyDocument=DENY_WRITES)
    try:
        with pytest.raises(SeamError, match=rf"{s3.url}/smoke could not be written to .* the next `seam run`"):
            put(here, numbers(1))
        assert machine(s3, tmp_path / "there").record("rows") is None
        assert here.record("rows") is not None, "on this machine it counts as made"
    finally:
        users.delete_user_policy(UserName=USER, PolicyName="deny")
    machine(s3, tmp_path / "here").refresh()
    assert machine(s3, tmp_path / "there").load("rows")["x"]["a"].to_pylist() == [1]


def test_what_could_not_be_uploaded_is_not_computed_again(s3: S3, tmp_path: Path) -> None:
    here, users = tmp_path / "here", s3.client("iam")
    here.mkdir()
    (here / "source.txt").write_text("1")

    def run() -> Outcome:
        study = toy_study(here)
        with dg.DagsterInstance.ephemeral() as instance:
            return update(study, machine(s3, here), set(study.nodes), instance, Display())

    users.put_user_policy(UserName=USER, PolicyName="deny", PolicyDocument=DENY_WRITES)
    try:
        failed = run()
    finally:
        users.delete_user_policy(UserName=USER, PolicyName="deny")
    assert "the next `seam run` uploads it" in failed.failed["source"]
    assert s3.keys("smoke") == []
    made = run()
    assert made.failed == {}
    assert "source" not in made.made
    assert len(made.made) == 10
    assert machine(s3, tmp_path / "there").load("total") == machine(s3, here).load("total")


def test_an_upload_that_another_process_is_at_is_left_to_it(s3: S3, tmp_path: Path) -> None:
    here = machine(s3, tmp_path / "here")
    with FileLock(here.root / ".locks" / "uploads" / "rows-all.lock") as held:
        out = here.stage("rows", None, "recipe")
        kind = write_payload(out, numbers(1))
        record = Record("rows", None, "smoke", kind, here.hash_staged("rows", None), "recipe")
        committing = threading.Thread(target=here.commit, args=(record,))
        committing.start()
        while not (here.path("rows") / ".upload").exists():
            time.sleep(0.01)
        machine(s3, tmp_path / "here").refresh()
        assert s3.keys("smoke") == []
        held.release()
        committing.join()
    assert len(s3.keys("smoke")) == 3


def test_what_somebody_has_replaced_meanwhile_is_not_overwritten(s3: S3, tmp_path: Path) -> None:
    here, there = machine(s3, tmp_path / "here"), machine(s3, tmp_path / "there")
    put(here, numbers(1))
    note = here.path("rows") / ".upload"
    note.write_text(json.dumps({"place": "data-x", "made": time.time() - 60}))
    put(there, numbers(2))
    here.refresh()
    assert not note.exists()
    assert here.load("rows")["x"]["a"].to_pylist() == [2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, "Could not connect to the endpoint URL"),
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "signature"),
        ({"AWS_ACCESS_KEY_ID": "nobody"}, "does not exist"),
    ],
)
def test_no_way_to_the_store_is_one_sentence(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], reason: str
) -> None:
    use(change, monkeypatch)
    with pytest.raises(SeamError, match=reason) as refused:
        machine(s3, tmp_path).record("rows")
    text = str(refused.value)
    assert text.startswith(f"The store {s3.url}/smoke could not be read (")
    assert "list-type" not in text
    assert "\n" not in text


def test_a_wrong_bucket_and_protocol_are_named(s3: S3, tmp_path: Path) -> None:
    with pytest.raises(SeamError, match="s3://nowhere/smoke could not be read .*bucket does not exist"):
        Store("s3://nowhere/smoke", mirror=tmp_path).record("rows")
    with pytest.raises(SeamError, match="s33://studies cannot be opened"):
        Store("s33://studies", mirror=tmp_path)


def test_a_server_that_goes_away_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    with serving(tmp_path, port, checked=False) as s3:
        use(s3.environment, monkeypatch)
        here = machine(s3, tmp_path / "here")
        put(here, numbers(1))
    with pytest.raises(SeamError, match="is kept in"):
        put(here, numbers(2))
    with pytest.raises(SeamError, match="could not be read"):
        machine(s3, tmp_path / "here").refresh()
    with serving(tmp_path, port, checked=False) as s3:
        machine(s3, tmp_path / "here").refresh()
        assert machine(s3, tmp_path / "there").load("rows")["x"]["a"].to_pylist() == [2]


SEAM = [sys.executable, "-c", "from seam_pipeline.cli import main; main()"]


def seam(s3: S3, home: Path, *arguments: str, **change: str) -> subprocess.CompletedProcess[str]:
    home.mkdir(exist_ok=True)
    environment = dict(os.environ, **s3.environment, SEAM_HOME=str(home), SEAM_STORE=s3.url)
    environment |= change
    environment.pop("DAGSTER_HOME", None)
    return subprocess.run([*SEAM, *arguments], env=environment, cwd=home, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_seam_run_writes_and_another_home_finds_everything_made(s3: S3, tmp_path: Path) -> None:
    chosen = ("-e", "smoke", "--select", "+rl_data +sft_data")
    first = seam(s3, tmp_path / "a", "run", *chosen)
    assert first.returncode == 0, first.stderr
    before = s3.requests()
    second = seam(s3, tmp_path / "b", "run", *chosen)
    assert "what was chosen, given its inputs, is up to date" in second.stdout
    assert s3.requests() - before < 20
    lost = seam(s3, tmp_path / "b", "run", *chosen, AWS_ENDPOINT_URL=f"http://127.0.0.1:{free_port()}")
    assert lost.returncode == 2
    assert lost.stderr.startswith(f"seam: The store {s3.url}/smoke could not be read (Could not connect")
    assert len(lost.stderr.splitlines()) == 1
