from pathlib import Path

import pyarrow as pa
import pytest

from seam_pipeline.errors import SeamError
from seam_pipeline.store import Record, Store, recipe_of, write_payload
from seam_pipeline.store._remote import _published


def put(
    store: Store, value: object, asset: str = "rows", partition: str | None = None, refused: tuple[str, ...] = ()
) -> Record:
    out = store.stage(asset, partition, "recipe")
    if isinstance(value, Path):
        (out / "model.txt").write_text("weights")
        value = out
    kind = write_payload(out, value)
    record = Record(asset, partition, "smoke", kind, store.hash_staged(asset, partition), "recipe", {}, refused)
    store.commit(record)
    return record


@pytest.mark.parametrize(
    "value",
    [
        pa.table({"a": [1, None, 3]}),
        {"x": pa.table({"a": ["é"]}), "y": pa.table({"b": [0.5]})},
        {"n": 3, "texts": ["a"]},
    ],
)
def test_values_come_back_as_they_were(tmp_path: Path, value: object) -> None:
    store = Store(str(tmp_path))
    put(store, value, partition="pm01|rm02")
    assert store.load("rows", "pm01|rm02") == value
    assert (tmp_path / "rows" / "pm01" / "rm02" / "record.json").is_file()


def test_equal_content_has_an_equal_version_and_other_content_another(tmp_path: Path) -> None:
    one, two = Store(str(tmp_path / "1")), Store(str(tmp_path / "2"))
    first = put(one, pa.table({"a": [1, 2]}))
    assert put(two, pa.table({"a": [1, 2]})).data_version == first.data_version
    assert put(two, pa.table({"a": [1, 3]})).data_version != first.data_version


def test_a_folder_keeps_what_a_killed_run_of_the_same_recipe_left(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    (store.stage("policy", "pm01", "a") / "checkpoint").write_text("step 3")
    assert (store.stage("policy", "pm01", "a") / "checkpoint").read_text() == "step 3"
    assert not (store.stage("policy", "pm01", "b") / "checkpoint").exists()
    assert store.record("policy", "pm01") is None


def test_the_old_artifact_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    put(store, pa.table({"a": [1]}))
    out = store.stage("rows", None, "other")
    write_payload(out, pa.table({"a": [2]}))
    assert store.load("rows")["a"].to_pylist() == [1]


def test_missing_refused_and_foreign_artifacts_are_named(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    with pytest.raises(SeamError, match=r"rows \[pm01\] has not been made yet"):
        store.load("rows", "pm01")
    put(store, pa.table({"a": [1]}), refused=("finite",))
    with pytest.raises(SeamError, match="rows was refused by finite"):
        store.load("rows")
    record = tmp_path / "rows" / "all" / "record.json"
    record.write_text(record.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(SeamError, match="record format 99"):
        store.load("rows")


def test_a_remote_store_uploads_and_a_second_machine_downloads(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/bucket"
    here, there = Store(url, mirror=tmp_path / "here"), Store(url, mirror=tmp_path / "there")
    put(here, tmp_path, asset="policy", partition="pm01")
    assert (there.load("policy", "pm01") / "model.txt").read_text() == "weights"
    put(here, pa.table({"a": [1]}))
    assert there.load("rows")["a"].to_pylist() == [1]
    put(here, pa.table({"a": [2]}))
    there.refresh()
    assert there.load("rows")["a"].to_pylist() == [2]


def test_the_recipe_changes_with_each_of_its_parts() -> None:
    base = recipe_of("1", "s", {"a": "x"})
    others = {recipe_of("2", "s", {"a": "x"}), recipe_of("1", "t", {"a": "x"}), recipe_of("1", "s", {"a": "y"})}
    assert base not in others
    assert len(others) == 3
    assert recipe_of("1", "s", {"a": "x", "b": "y"}) == recipe_of("1", "s", {"b": "y", "a": "x"})


@pytest.mark.parametrize("text", [b"[1]", b"{", b"\xff"])
def test_a_remote_record_that_is_none_is_named(text: bytes) -> None:
    with pytest.raises(SeamError, match="record.json on the store cannot be read .* remove its folder to rebuild it"):
        _published("bucket/posts/all/record.json", text, None)
