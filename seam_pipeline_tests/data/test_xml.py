import io
import random
import tracemalloc
from pathlib import Path

import pytest

from seam_pipeline.data import _xml
from seam_pipeline.data._records import Bad
from seam_pipeline.data._xml import BAD_ROW, read_posts_xml
from seam_pipeline.errors import SeamError

from .dumps import posts_xml, question, simple_rows

BOMB = b"""<?xml version="1.0"?>
<!DOCTYPE posts [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>
<posts><row Id="1" PostTypeId="1" Title="&c;" Body="x" /></posts>"""
EXTERNAL = b"""<!DOCTYPE posts [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<posts><row Id="1" PostTypeId="1" Title="t" Body="&x;" /></posts>"""


def rows_of(content: bytes) -> list:
    return list(read_posts_xml(io.BytesIO(content), "Posts.xml"))


def ids(content: bytes) -> list[str]:
    return [row["Id"] for row in rows_of(content) if not isinstance(row, Bad)]


def test_reads_rows_and_entities() -> None:
    (row,) = rows_of(posts_xml([question(7, body="<p>a & b</p>")]))
    assert (row["Id"], row["Body"]) == ("7", "<p>a & b</p>")


@pytest.mark.parametrize("content", [BOMB, EXTERNAL, b"<!DOCTYPE html><html></html>"])
def test_refuses_document_types(content: bytes) -> None:
    with pytest.raises(SeamError, match="document type"):
        rows_of(content)


BROKEN = {
    "raw <": '<row Id="2" Body="a < b" />',
    "no closing quote": '<row Id="2" Body="a />',
    "null character": '<row Id="2" Body="&#x0;" />',
    "unknown entity": '<row Id="2" Body="&nbsp;" />',
    "attribute twice": '<row Id="2" Id="2" />',
    "bare ampersand": '<row Id="2" Body="a & b" />',
    "not closed": '<row Id="2" Body="a" <',
}


@pytest.mark.parametrize("row", BROKEN.values(), ids=BROKEN.keys())
@pytest.mark.parametrize("chunk", [1, 7, 50, 1 << 20])
def test_goes_on_after_a_broken_row(row: str, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_xml, "CHUNK", chunk)
    content = posts_xml([question(1), row, question(3), question(4)])
    found = rows_of(content)
    assert [r["Id"] for r in found if not isinstance(r, Bad)] == ["1", "3", "4"]
    assert found.count(BAD_ROW) == 1


def test_a_chunk_full_of_broken_rows() -> None:
    found = rows_of(posts_xml([question(1), *['<row Id="2" & />'] * 5000, question(3)]))
    assert (len(found), found.count(BAD_ROW)) == (5002, 5000)


def test_broken_first_and_last_rows_and_bad_bytes() -> None:
    assert ids(posts_xml(['<row Id="0" & />', question(1)])) == ["1"]
    assert ids(posts_xml([question(1), '<row Id="2" Body="&nbsp;" />'])) == ["1"]
    assert ids(posts_xml([question(1), question(2, "BAD"), question(3)]).replace(b"BAD", b"\xff\xfe")) == ["1", "3"]


@pytest.mark.parametrize("chunk", [1, 9, 1 << 20])
def test_rows_left_open_are_read_and_counted(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_xml, "CHUNK", chunk)
    found = rows_of(posts_xml(['<row Id="1" PostTypeId="1">', question(2)]))
    assert [r["Id"] for r in found if not isinstance(r, Bad)] == ["1", "2"]
    assert found.count(BAD_ROW) == 1


@pytest.mark.parametrize("chunk", [16, 1 << 20])
def test_any_cut_is_a_truncated_file(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_xml, "CHUNK", chunk)
    content = posts_xml(simple_rows(3))
    cuts = random.Random(0).sample(range(60, len(content) - 1), 60)
    for cut in [*cuts, len(content) - 1, len(content) - 8]:
        with pytest.raises(SeamError, match="truncated"):
            rows_of(content[:cut])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"<users><row Id='1' /></users>", "root is <users>"),
        (b"hello", "no dump"),
        (b"", "no <posts> element"),
        (b"<posts", "no <posts> element"),
    ],
)
def test_refuses_what_is_no_dump(content: bytes, says: str) -> None:
    with pytest.raises(SeamError, match=says):
        rows_of(content)


def test_refuses_an_endless_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_xml, "CHUNK", 1 << 10)
    monkeypatch.setattr(_xml, "LARGEST_ROW", 1 << 14)
    with pytest.raises(SeamError, match="it is no dump"):
        rows_of(posts_xml([question(1, "x" * (1 << 16))]))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    for copies in (4_000, 16_000):
        path = tmp_path / "Posts.xml"
        path.write_bytes(posts_xml([question(n, "y" * 1000) for n in range(copies)]))
        tracemalloc.start()
        with path.open("rb") as stream:
            assert sum(1 for _ in read_posts_xml(stream, "Posts.xml")) == copies
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 30 << 20
