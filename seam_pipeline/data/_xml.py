"""`Posts.xml` as a stream: expat, a megabyte at a time, no tree, no entities."""

import re
from collections.abc import Iterator
from typing import BinaryIO
from xml.parsers import expat

from seam_pipeline.errors import SeamError

from ._records import Bad, Record

CHUNK = 1 << 20
LARGEST_ROW = 64 << 20
BAD_ROW = Bad("post: not well-formed XML")

_RESTART = re.compile(rb"<row[\s/>]|</posts\s*>")
_ROOT = b"<posts>"
_LONGEST_RESTART = 16
_REACH = {4: 2, 7: 3}  # invalid token, mismatched tag: from the reported byte back to before the "<"


def read_posts_xml(stream: BinaryIO, name: str) -> Iterator[Record | Bad]:
    """The rows of a dump's `Posts.xml`; memory stays at one chunk whatever the size of the file.

    A row that is not well-formed is skipped as `BAD_ROW`, and reading goes on at the next row. Raises SeamError
    for a document type (where entity bombs live), for another root than `posts`, and for a file that breaks off.
    """
    reader = _Reader(name)
    while chunk := stream.read(CHUNK):
        reader.feed(chunk)
        yield from reader.take()
    reader.finish()
    yield from reader.take()


class _Reader:
    """Expat that starts again at the next row after a row that is not well-formed."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[Record | Bad] = []
        self.fed = 0  # bytes of the file given so far
        self.tail = b""  # the last bytes before the current chunk
        self.lost_from: int | None = None  # file offset from which to look for a place to start again
        self.root: str | None = None
        self._start(at=0, primed=False)

    def _start(self, at: int, primed: bool) -> None:
        self.parser = expat.ParserCreate()
        self.parser.StartDoctypeDeclHandler = self._refuse_doctype
        self.parser.StartElementHandler = self._element
        self.base = at - (len(_ROOT) if primed else 0)  # file offset = base + offset in this parser
        self.root_seen = False
        if primed:
            self.parser.Parse(_ROOT, False)

    def _refuse_doctype(self, *_: object) -> None:
        raise SeamError(
            f"{self.name} declares a document type (DTD), which dumps never do and entity bombs need: refused; "
            "use the original Posts.xml."
        )

    def _element(self, tag: str, attributes: dict[str, str]) -> None:
        if not self.root_seen:
            self.root_seen = True
            if tag != "posts":
                raise SeamError(f"{self.name} is no dump of posts: its root is <{tag}>, not <posts>; give Posts.xml.")
            self.root = tag
        elif tag == "row":
            self.rows.append(attributes)
        else:
            self.rows.append(Bad("post: an element that is no row"))

    def feed(self, chunk: bytes) -> None:
        tail, start = self.tail, self.fed
        self.fed += len(chunk)
        self.tail = (tail + chunk)[-_LONGEST_RESTART:]
        if self.lost_from is None:
            self._parse(start, chunk)
        if self.lost_from is None:
            return
        start, data = start - len(tail), tail + chunk
        view = memoryview(data)
        while self.lost_from is not None:
            match = _RESTART.search(data, max(self.lost_from - start, 0))
            if match is None:
                return
            self._start(start + match.start(), primed=True)
            self._parse(start + match.start(), view[match.start() :])

    def _parse(self, start: int, data: bytes | memoryview) -> None:
        """Parse `data`, which begins at file offset `start`; `lost_from` says whether and where that failed."""
        self.lost_from = None
        try:
            self.parser.Parse(data, False)
        except expat.ExpatError as error:
            if self.root is None:
                raise SeamError(f"{self.name} is no dump of posts: not XML ({error}); give Posts.xml.") from error
            self.rows.append(BAD_ROW)
            # A tag that an unclosed quote (or an unclosed row) has run into is itself whole: start again at it.
            wrong = self.base + self.parser.ErrorByteIndex
            self.lost_from = max(wrong + 1 - _REACH.get(error.code, 0), self.base + len(_ROOT) + 1)
        else:
            if self.fed - (self.base + self.parser.CurrentByteIndex) > LARGEST_ROW:
                raise SeamError(f"{self.name} has a row of more than {LARGEST_ROW >> 20} MiB: it is no dump.")

    def take(self) -> list[Record | Bad]:
        rows, self.rows = self.rows, []
        return rows

    def finish(self) -> None:
        broken = self.lost_from is not None
        if not broken:
            try:
                self.parser.Parse(b"", True)
            except expat.ExpatError:
                broken = True
        if self.root is None:
            raise SeamError(f"{self.name} is no dump of posts: it has no <posts> element; give Posts.xml.")
        if broken:
            raise SeamError(f"{self.name} is truncated: it breaks off before </posts>; download it again.")
