import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from seam_pipeline.annotation._judgement import standing
from seam_pipeline.annotation.store import AnnotationStore
from seam_pipeline.errors import SeamError

from .made import judged, pairs


@pytest.fixture
def store(tmp_path: Path) -> AnnotationStore:
    made = AnnotationStore(tmp_path / "a.sqlite", make=True)
    made.add_pairs(pairs())
    return made


def test_a_later_judgement_replaces_the_earlier_and_keeps_it(store: AnnotationStore) -> None:
    one, two, *_ = pairs()
    rows = [
        judged(one, "ann", "1", 1),
        judged(two, "ann", "tie", 2),
        judged(one, "ann", "2", 3),
        judged(one, "bob", "1"),
    ]
    for row in rows:
        assert store.add([row]) == 1
    assert store.judgements() == [rows[2], rows[1], rows[3]]
    assert store.judgements("ann") == [rows[2], rows[1]]
    assert store.judgements(history=True) == rows
    assert store.annotators() == {"ann": 2, "bob": 1}
    assert store.add(rows) == 0
    assert AnnotationStore(store.path).pairs() == pairs()


def test_an_older_judgement_that_comes_late_is_history() -> None:
    pair = pairs()[0]
    assert standing([judged(pair, "a", "1", 5), judged(pair, "a", "2", 1)]) == [judged(pair, "a", "1", 5)]


def test_many_people_write_at_once(store: AnnotationStore) -> None:
    def work(name: str) -> None:
        for second in range(10):
            for pair in pairs():
                AnnotationStore(store.path).add([judged(pair, name, "1", second)])

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.annotators() == dict.fromkeys("abcd", 6)
    assert len(store.judgements(history=True)) == 4 * 10 * 6


def test_what_was_answered_survives_a_kill(store: AnnotationStore) -> None:
    code = (
        "import os, sys; from pathlib import Path; from seam_pipeline.annotation.store import AnnotationStore;"
        "from seam_pipeline_tests.annotation.made import *;"
        "AnnotationStore(Path(sys.argv[1])).add([judged(pairs()[0], 'ann', '2')]); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(store.path)], check=False).returncode == -9
    assert store.judgements() == [judged(pairs()[0], "ann", "2")]


def test_judged_pairs_keep_their_texts(store: AnnotationStore) -> None:
    one, two, *_ = pairs()
    store.add([judged(one, "ann", "1")])
    store.add_pairs([two._replace(response_1="not judged yet, so it may change")])
    with pytest.raises(SeamError, match=r"1 pairs \(id 'q0' first\) were judged with other texts"):
        store.add_pairs([two, one._replace(response_2="new")])
    assert {pair.response_1 for pair in store.pairs()} >= {"good 0", "not judged yet, so it may change"}


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SeamError, match="there is no annotation file"):
        AnnotationStore(tmp_path / "none.sqlite")
    text = tmp_path / "text.sqlite"
    text.write_text("no database at all, " * 100)
    foreign, newer = tmp_path / "foreign.sqlite", tmp_path / "newer.sqlite"
    with sqlite3.connect(foreign) as db:
        db.execute("CREATE TABLE other (x)")
    AnnotationStore(newer, make=True)
    with sqlite3.connect(newer) as db:
        db.execute("PRAGMA user_version=9")
    for file, sentence in ((text, "no annotation file"), (foreign, "not of annotations"), (newer, "has format 9")):
        before = file.read_bytes()
        with pytest.raises(SeamError, match=sentence):
            AnnotationStore(file, make=True)
        assert file.read_bytes() == before
    with pytest.raises(SeamError, match="can't be"):
        AnnotationStore(tmp_path, make=True)
