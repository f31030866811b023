"""Mistakes around a store: one sentence, an exit code, and nothing lost."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seam_pipeline.cli import main
from seam_pipeline.errors import SeamError
from seam_pipeline.store import Record, Store, write_payload

from .toy import table


def put(root: Path, experiment: str, **changes: object) -> Path:
    """A store with one artifact; its record says what `changes` say."""
    store = Store(str(root))
    out = store.stage("posts", None, "recipe")
    kind = write_payload(out, table(1))
    record = Record("posts", None, experiment, kind, store.hash_staged("posts", None), "recipe")
    store.commit(record)
    file = root / "posts" / "all" / "record.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return file


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    status = 0
    try:
        main(list(arguments))
    except SystemExit as stop:
        status = int(stop.code or 0)
    return status, capsys.readouterr().err


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEAM_HOME", str(tmp_path))
    monkeypatch.delenv("SEAM_STORE", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return tmp_path


@pytest.mark.parametrize("command", ["run", "plan", "ui"])
def test_a_store_of_another_experiment(home: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    file = put(home / "data" / "artifacts" / "smoke", "testbed")
    before = file.read_text()
    status, err = run(capsys, command, "-e", "smoke")
    assert status == 2
    assert "belongs to experiment testbed, not to smoke" in err
    assert err.count("\n") == 1
    assert file.read_text() == before


def test_the_doctor_sees_the_store(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(home / "data" / "artifacts" / "smoke", "testbed")
    with pytest.raises(SystemExit) as stop:
        main(["doctor", "-e", "smoke"])
    assert stop.value.code == 1
    assert "belongs to experiment testbed, not to smoke" in capsys.readouterr().out


def test_seam_store_inside_a_store(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home / "artifacts" / "testbed", "testbed")
    monkeypatch.setenv("SEAM_STORE", str(home / "artifacts" / "testbed"))
    status, err = run(capsys, "run", "-e", "smoke")
    assert status == 2
    assert "SEAM_STORE" in err
    assert "is the store of one experiment; give the folder above it" in err
    assert not (home / "artifacts" / "testbed" / "smoke").exists()


@pytest.mark.parametrize("command", ["run", "plan", "ui"])
def test_a_newer_format_is_not_to_be_removed(home: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    file = put(home / "data" / "artifacts" / "smoke", "smoke", format=2, new_field=1)
    status, err = run(capsys, command, "-e", "smoke")
    assert status == 2
    assert "was made by a newer version of seam_pipeline (record format 2, this version reads 1)" in err
    assert "upgrade" in err
    assert "remove" not in err
    assert file.is_file()


@pytest.mark.parametrize("content", [b'{"asset": "posts", "data_', b"[]", b'{"format": 1}', b"\xff\xfe", b""])
def test_a_record_cut_short_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    file = put(tmp_path / "x", "smoke")
    file.write_bytes(content)
    with pytest.raises(SeamError, match="cannot be read .* remove its folder to rebuild it"):
        Store(str(tmp_path / "x")).record("posts")


def test_a_store_without_a_bucket(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("SEAM_STORE", "s3://")
    status, err = run(capsys, "run", "-e", "smoke", "--select", "posts")
    assert status == 2
    assert err == "seam: SEAM_STORE: s3:// names no bucket; give one, as in s3://bucket/folder.\n"
    assert not list(home.iterdir())


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SeamError, match="posts cannot be kept in .*Not a directory.*set SEAM_STORE"):
        Store(str(tmp_path / "file" / "smoke")).lock("posts").__enter__()


@pytest.mark.parametrize("command", [("run", "--select", "posts"), ("ui",)])
def test_a_broken_dagster_yaml(home: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    (home / "dagster.yaml").write_text("storage: [")
    status, err = run(capsys, *command, "-e", "smoke")
    assert status == 2
    assert "dagster.yaml is not valid YAML" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--select", ""), "--select is empty"),
        (("--select", "policy_modle"), "no such asset in smoke; names like it: policy_model"),
        (("--select", "group:none"), "no such group in smoke; groups: group:1_data"),
        (("--select", "policy_model", "--partition", "pm77"), "smoke has policy ranks pm01 to pm"),
        (("--select", "rlhf_policy_full", "--partition", "pm02|rm01"), "add the cell to rl.arms"),
        (
            (
                "--select",
                "rlhf_policy_nothing",
            ),
            "no such asset in smoke",
        ),
        (("--again",), "--again: name what to make again with --select"),
    ],
)
def test_unknown_ranks_cells_and_methods(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    status, err = run(capsys, "run", "-e", "smoke", *arguments)
    assert status == 2
    assert sentence in err
    assert err.count("\n") == 1


def test_what_needs_something_else_first_says_so(home: Path) -> None:
    """As a user: a real process, its exit code and what it printed."""
    seam = [sys.executable, "-c", "from seam_pipeline.cli import main; main()"]
    command = [*seam, "run", "-e", "smoke", "--select", "policy_model", "--partition", "pm02"]
    environment = dict(os.environ, SEAM_HOME=str(home))
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "policy_model [pm02]: waits for base_model" in done.stderr
