from pathlib import Path

import pyarrow as pa
import pytest

from seam_pipeline.annotation.csv_file import write_csv
from seam_pipeline.annotation.store import AnnotationStore
from seam_pipeline.errors import SeamError
from seam_pipeline.judging.annotations import read_judgements, verdicts_of
from seam_pipeline.tables import JUDGEMENTS, PREFERENCE_ANSWERS, VERDICTS
from seam_pipeline_tests.annotation.made import judged, pairs


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """The same judgements as an annotation file and as its CSV, where a replaced one comes first."""
    store = AnnotationStore(tmp_path / "a.sqlite", make=True)
    store.add_pairs(pairs())
    one, two, three, *_ = pairs()
    store.add(
        [judged(one, "ann", "2", 1), judged(one, "ann", "1", 2), judged(one, "bob", "1"), judged(one, "eve", "tie")]
    )
    store.add([judged(two, "ann", "1"), judged(two, "bob", "2"), judged(three, "ann", "2")])
    write_csv(tmp_path / "a.csv", store.judgements(history=True), store.pairs())
    return store.path, tmp_path / "a.csv"


def test_the_majority_is_the_verdict(files: tuple[Path, Path]) -> None:
    for file in files:
        verdicts = verdicts_of(file, ["q2", "q0", "q5", "q1", "q0"])
        assert verdicts.schema == VERDICTS
        assert [tuple(row.values()) for row in verdicts.to_pylist()] == [
            ("q2", "human", "2", None, "0 for 1, 1 for 2, 0 cannot tell"),
            ("q0", "human", "1", None, "2 for 1, 0 for 2, 1 cannot tell"),
            ("q5", "human", None, "nobody judged this pair", None),
            ("q1", "human", "tie", None, "1 for 1, 1 for 2, 0 cannot tell"),
            ("q0", "human", "1", None, "2 for 1, 0 for 2, 1 cannot tell"),
        ]
        table = read_judgements(file)
        assert (table.num_rows, table.schema) == (6, JUDGEMENTS)
        assert verdicts_of(file, []).num_rows == 0


def test_judgements_of_other_texts_do_not_count(files: tuple[Path, Path]) -> None:
    rows = [
        {"id": pair.id, "instruction": pair.instruction, "response_1": pair.response_1, "policy_1": 1, "policy_2": 2,
         "response_2": "rewritten" if pair.id == "q0" else pair.response_2}
        for pair in pairs()
    ]  # fmt: skip
    answers = pa.Table.from_pylist(rows, schema=PREFERENCE_ANSWERS)
    for file in files:
        found = verdicts_of(file, ["q0", "q2", "q5"], answers).to_pylist()
        assert [(row["preference"], row["reason"]) for row in found] == [
            (None, "the pair that was judged had other texts"),
            ("2", None),
            (None, "nobody judged this pair"),
        ]


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other.db").write_bytes(b"something else" * 50)
    for name, sentence in (("none.csv", "there are no annotations"), ("other.db", "is no annotation file")):
        with pytest.raises(SeamError, match=sentence):
            verdicts_of(tmp_path / name, ["q0"])
