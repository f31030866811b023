import pyarrow as pa
import pytest

from seam_pipeline.errors import SeamError
from seam_pipeline.scoring.items import Item, items_of

RL = pa.table({"id": ["b", "a", "c"], "instruction": ["B?", "A?", "C?"], "golden_response": ["B!", "A!", "C!"]})
SETS = pa.table(
    {
        "id": ["a", "b", "a", "c"],
        "candidate_index": pa.array([1, 0, 0, -1], pa.int32()),
        "candidate": ["second", "only", "first", None],
    }
)


def test_items_follow_the_rows_and_the_indices() -> None:
    assert items_of(RL, SETS) == [
        Item("b", "B?", ("only",), (0,)),
        Item("a", "A?", ("first", "second"), (0, 1)),
        Item("c", "C?", (), ()),
    ]
    assert items_of(RL, SETS, golden=True)[1:] == [
        Item("a", "A?", ("A!", "first", "second"), (-1, 0, 1)),
        Item("c", "C?", ("C!",), (-1,)),
    ]


def test_strays_are_refused() -> None:
    with pytest.raises(SeamError, match="'c' is not among the instructions"):
        items_of(RL.slice(0, 2), pa.table({"id": ["c"], "candidate_index": [0], "candidate": ["text"]}))
    with pytest.raises(ValueError, match="1 responses but 2 indices"):
        Item("a", "A?", ("text",), (0, 1))
