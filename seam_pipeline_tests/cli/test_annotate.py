"""`seam annotate` and `seam annotations` as a user calls them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from seam_pipeline.annotation.store import AnnotationStore
from seam_pipeline.cli import main
from seam_pipeline.defs._home import open_store
from seam_pipeline.experiment import load_experiment
from seam_pipeline.store import Record
from seam_pipeline.store._store import write_payload
from seam_pipeline.tables import PREFERENCE_ANSWERS
from seam_pipeline_tests.annotation.made import judged, pairs

SEAM = [sys.executable, "-c", "from seam_pipeline.cli import main; main()"]


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    status = 0
    try:
        main([*map(str, arguments)])
    except SystemExit as stop:
        status = int(stop.code or 0)
    return status, *capsys.readouterr()


def refused(capsys: pytest.CaptureFixture[str], *arguments: Any) -> str:
    status, out, err = run(capsys, *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1), (status, out, err)
    return err


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = [dict(zip(("id", "instruction", "response_1", "response_2"), pair, strict=False)) for pair in pairs()]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row | {"source_1": "GPT"}) + "\n" for row in rows))
    return path


@pytest.fixture
def judged_file(file: Path) -> Path:
    store = AnnotationStore(file.with_name("pairs.annotations.sqlite"), make=True)
    store.add_pairs(pairs())
    store.add([judged(pair, name, "1") for pair in pairs() for name in ("ann", "bob")])
    store.add([judged(pairs()[0], "bob", "2", 5), judged(pairs()[1], "bob", "tie", 5)])
    return store.path


@contextmanager
def serving(*arguments: Any) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [*SEAM, "annotate", *map(str, arguments), "--port", str(port)]
    # A test run in the background of a shell has SIGINT ignored, which its children would inherit.
    heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.wait()


def test_ctrl_c_ends_it_and_nothing_is_lost(file: Path) -> None:
    with serving(file) as (process, line):
        found = re.match(r"(http://127\.0\.0\.1:(\d+)): 6 pairs, kept in (.*); Ctrl-C ends it\.$", line)
        assert found, line
        with urllib.request.urlopen(found[1] + "/api/next?annotator=ann") as reply:
            item = json.load(reply)["item"]
        sent = {"annotator": "ann", "position": item["position"], "token": item["token"], "choice": "left"}
        headers = {"Origin": found[1], "Content-Type": "application/json"}
        urllib.request.urlopen(
            urllib.request.Request(found[1] + "/api/judge", json.dumps(sent).encode(), headers)
        ).close()
        again = subprocess.run(
            [*SEAM, "annotate", str(file), "--port", found[2]], capture_output=True, text=True, check=False
        )
        assert (again.returncode, again.stdout) == (2, "")
        assert f"Port {found[2]} on 127.0.0.1 is in use; stop what runs there or give --port." in again.stderr
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    store = file.with_name("pairs.annotations.sqlite")
    assert f"{store}: 1 judged by 1 people; the same command goes on." in out
    assert found[3] == str(store)
    assert len(AnnotationStore(store).judgements()) == 1


def test_a_study_gives_its_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SEAM_HOME", str(tmp_path))
    monkeypatch.delenv("SEAM_STORE", raising=False)
    sentence = refused(capsys, "annotate", "-e", "smoke")
    assert "smoke has no preference_answers yet" in sentence
    rows = [{"id": p.id, "instruction": p.instruction, "response_1": p.response_1, "response_2": p.response_2,
             "policy_1": 1, "policy_2": 2} for p in pairs()]  # fmt: skip
    store = open_store(load_experiment("smoke"))
    kind = write_payload(
        store.stage("preference_answers", None, "r"), pa.Table.from_pylist(rows, schema=PREFERENCE_ANSWERS)
    )
    store.commit(Record("preference_answers", None, "smoke", kind, "version", "r"))
    with serving("-e", "smoke", "--annotator", "ann") as (process, line):
        kept = tmp_path / "data" / "annotations" / "smoke.sqlite"
        assert f": 6 pairs, kept in {kept};" in line, process.communicate()
    assert AnnotationStore(kept).pairs()[0].extra == {"policy_1": 1, "policy_2": 2}
    status, out, _ = run(capsys, "annotations", "agreement", "-e", "smoke")
    assert (status, out.splitlines()[0][:33]) == (0, "0 people judged 0 of 6 pairs; no ")


@pytest.mark.parametrize("kind", ["csv", "label-studio"])
def test_export_and_import_are_inverses(
    judged_file: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    out, copy = tmp_path / ("a.csv" if kind == "csv" else "a.json"), tmp_path / "copy.sqlite"
    status, shown, _ = run(capsys, "annotations", "export", "--db", judged_file, "--format", kind, "--out", out)
    assert status == 0
    assert ("12 judgements of 6 pairs" if kind == "csv" else "6 tasks with 12 annotations") in shown
    assert out.with_suffix(".xml").exists() == (kind != "csv")
    status, shown, _ = run(capsys, "annotations", "import", out, "--db", copy, "--pairs", file)
    assert (status, shown) == (0, f"{copy}: 12 judgements added, 0 were there\n")
    said = [{row._replace(left=None) for row in AnnotationStore(path).judgements()} for path in (judged_file, copy)]
    assert said[0] == said[1]
    status, shown, _ = run(capsys, "annotations", "import", out, "--db", copy)
    assert (status, shown) == (0, f"{copy}: 0 judgements added, 12 were there\n")


def test_history_is_exported_on_demand(judged_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("annotations", "export", "--db", judged_file, "--out", tmp_path / "a.csv", "--history", "--format")
    assert "14 judgements of 6 pairs" in run(capsys, *where, "csv")[1]
    assert "--history: Label Studio's format has no history" in refused(capsys, *where, "label-studio")


def test_agreement_is_printed(judged_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run(capsys, "annotations", "agreement", "--db", judged_file)
    assert status == 0
    # n = 12: 1 ten times, 2 once, tie once; o_11 = 8: (11 * 8 - 90) / (132 - 90) = -0.048.
    assert out.startswith("2 people judged 6 of 6 pairs; Krippendorff's alpha is −0.05, not separated from chance")
    assert re.search(r"^ann +bob +6 +4 +67%", out, re.MULTILINE)
    assert re.search(r"^no majority +2 +33\.3%", out, re.MULTILINE)


def test_mistakes_are_one_sentence(
    judged_file: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "nowhere.jsonl is not a file" in refused(capsys, "annotate", tmp_path / "nowhere.jsonl")
    assert "Give PAIRS or -e, not both" in refused(capsys, "annotate", file, "-e", "smoke")
    assert "a name has 1 to 64" in refused(capsys, "annotate", file, "--annotator", " ")
    file.write_text(file.read_text().replace("good 0", "rewritten"))
    assert "1 pairs (id 'q0' first) were judged with other texts" in refused(capsys, "annotate", file)
    assert "there is no annotation file" in refused(capsys, "annotations", "agreement", "--db", tmp_path / "no.sqlite")
    assert "the ending .txt is unknown" in refused(
        capsys, "annotations", "import", tmp_path / "a.txt", "--db", judged_file
    )
    assert "no.csv is not there" in refused(capsys, "annotations", "import", tmp_path / "no.csv", "--db", judged_file)
    export = ("annotations", "export", "--db", judged_file, "--out", tmp_path / "nowhere" / "out", "--format")
    assert "cannot be written (No such file or directory)" in refused(capsys, *export, "csv")
    assert "cannot be written (No such file or directory)" in refused(capsys, *export, "label-studio")
    (tmp_path / "a.csv").write_text("id,annotator,choice\nq99,ann,1\n")
    assert "id 'q99' is none of the pairs" in refused(
        capsys, "annotations", "import", tmp_path / "a.csv", "--db", judged_file
    )
    assert os.listdir(tmp_path).count("no.sqlite") == 0
