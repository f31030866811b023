"""`Posts.xml` as a stream: expat, a megabyte at a time, no tree, no entities."""

import re
from collections.abc import Iterator
from typing import BinaryIO
from xml.parsers import expat

from ..errors import SeamError
from ._records import Bad, Record

CHUNK = 1 << 20
LARGEST_ROW = 64 << 20
BAD_ROW = Bad("post: not well-formed XML")

_RESTART = re.compile(rb"<row[\s/>]|</posts\s*>")
_ROOT = b"<posts>"
_LONGEST_RESTART = 16
_INVALID_TOKEN, _TAG_MISMATCH = 4, 7


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
        self.lost: bytes | None = None  # the last bytes seen while looking for a place to start again
        self.root: str | None = None
        self._start(at=0, primed=False)

    def _start(self, at: int, primed: bool) -> None:
        self.parser = expat.ParserCreate()
        self.parser.StartDoctypeDeclHandler = self._refuse_doctype
        self.parser.StartElementHandler = self._element
        self.base = at - (len(_ROOT) if primed else 0)  # file offset = base + offset in this parser
        self.depth_tag_seen = False
        if primed:
            self.parser.Parse(_ROOT, False)

    def _refuse_doctype(self, *_: object) -> None:
        raise SeamError(
            f"{self.name} declares a document type (DTD), which dumps never do and entity bombs need: refused; "
            "use the original Posts.xml."
        )

    def _element(self, tag: str, attributes: dict[str, str]) -> None:
        if not self.depth_tag_seen:
            self.depth_tag_seen = True
            if tag != "posts":
                raise SeamError(f"{self.name} is no dump of posts: its root is <{tag}>, not <posts>; give Posts.xml.")
            self.root = tag
        elif tag == "row":
            self.rows.append(attributes)
        else:
            self.rows.append(Bad("post: an element that is no row"))

    def feed(self, chunk: bytes) -> None:
        start, data = self.fed, chunk
        self.fed += len(chunk)
        if self.lost is not None:
            start, data = start - len(self.lost), self.lost + chunk
            at = self._search(data, 0)
            if at is None:
                return
            self._start(start + at, primed=True)
            start, data = start + at, data[at:]
        self._parse(start, data)

    def _parse(self, start: int, data: bytes) -> None:
        """Parse `data`, which begins at file offset `start`, with as many new starts as it takes."""
        while True:
            try:
                self.parser.Parse(data, False)
            except expat.ExpatError as error:
                at = self._after(error, start, data)
                if at is None:
                    return
                self._start(start + at, primed=True)
                start, data = start + at, data[at:]
            else:
                if self.fed - (self.base + self.parser.CurrentByteIndex) > LARGEST_ROW:
                    raise SeamError(f"{self.name} has a row of more than {LARGEST_ROW >> 20} MiB: it is no dump.")
                return

    def _after(self, error: expat.ExpatError, start: int, data: bytes) -> int | None:
        """Where in `data` to start again after `error`."""
        if self.root is None:
            raise SeamError(f"{self.name} is no dump of posts: not XML ({error}); give Posts.xml.") from error
        self.rows.append(BAD_ROW)
        wrong = self.base + self.parser.ErrorByteIndex - start
        # A tag that an unclosed quote or an unclosed row has run into is itself whole: start again at it.
        reach = 2 if error.code in (_INVALID_TOKEN, _TAG_MISMATCH) else 0
        already = self.base + len(_ROOT) - start
        return self._search(data, max(wrong + 1 - reach, already + 1, 0))

    def _search(self, data: bytes, begin: int) -> int | None:
        match = _RESTART.search(data, begin)
        self.lost = None if match else data[max(begin, len(data) - _LONGEST_RESTART) :]
        return match.start() if match else None

    def take(self) -> list[Record | Bad]:
        rows, self.rows = self.rows, []
        return rows

    def finish(self) -> None:
        broken = self.lost is not None
        if not broken:
            try:
                self.parser.Parse(b"", True)
            except expat.ExpatError:
                broken = True
        if self.root is None:
            raise SeamError(f"{self.name} is no dump of posts: it has no <posts> element; give Posts.xml.")
        if broken:
            raise SeamError(f"{self.name} is truncated: it breaks off before </posts>; download it again.")
