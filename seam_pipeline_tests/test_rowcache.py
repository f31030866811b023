import pytest

from seam_pipeline.errors import SeamError
from seam_pipeline.rowcache import RowCache, row_key


def test_keeps_values_over_closing_and_finds_many(tmp_path):
    values = {row_key("row", n): f"{n}".encode() for n in range(1300)}
    with RowCache(tmp_path / "deep" / "rows.sqlite") as cache:
        cache.keep(values)
    with RowCache(tmp_path / "deep" / "rows.sqlite") as cache:
        assert cache.find([*values, row_key("other")]) == values


def test_keys_tell_parts_apart_and_ignore_the_order_of_names():
    assert row_key("ab", "c") != row_key("a", "bc")
    assert row_key(1) != row_key("1")
    assert row_key({"a": 1, "b": 2}) == row_key({"b": 2, "a": 1})
    assert len(row_key("\ud800")) == 16


def test_another_file_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "rows").write_text("no database, but long enough to be taken for a file of its own " * 40)
    with pytest.raises(SeamError, match="is not a row cache"), RowCache(tmp_path / "rows"):
        pass
