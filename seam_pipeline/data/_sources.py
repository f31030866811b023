"""The paths a user gives, resolved to sources: one site's dump, or a set of files with rows."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from seam_pipeline.errors import SeamError

from ._hub import looks_like_hub_id
from ._sniff import Form, Kind, Rows, UnknownKindError, kind_of

_ENDINGS = {".xml", ".7z", ".csv", ".parquet", ".jsonl", ".ndjson", ".json"}
_EDITION = re.compile(r"[_.-]\d{4}-\d{2}(?:-\d{2})?(?=$|[_.-])")
_DECORATION = re.compile(r"[_.-](?:csv|xml|posts|\d{5}-of-\d{5})$", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """Files of one kind whose ids are prefixed by the same `site`; `path` is the place in the list of given paths."""

    given: str
    path: int
    site: str
    form: Form
    rows: Rows
    files: tuple[Path, ...]

    @property
    def bytes(self) -> int:
        """Size of the files as given."""
        return sum(file.stat().st_size for file in self.files)


def find_sources(paths: Iterable[str], site: str | None = None) -> tuple[list[Source], list[Path]]:
    """The sources behind the paths, and files in given folders that are passed over.

    `site` replaces the name taken from the folder or file. Raises SeamError for a path that is not there, for a file
    or folder of which nothing can be made, and for two dumps of one site.
    """
    sources: list[Source] = []
    passed_over: list[Path] = []
    for number, given in enumerate(paths):
        path = Path(given).expanduser()
        if path.is_dir():
            found, ignored = _in_folder(given, number, path, site)
            sources += found
            passed_over += ignored
        elif path.is_file():
            kind = kind_of(path)
            sources.append(Source(given, number, site or site_of(path), kind.form, kind.rows, (path,)))
        elif looks_like_hub_id(given):
            sources.append(Source(given, number, site or given, "hub", "paired", ()))
        else:
            raise SeamError(f"{given} does not exist; give a file, a folder or a hub data set id (owner/name).")
    _refuse_twins(sources)
    return sources, passed_over


def site_of(path: Path) -> str:
    """A name that stays the same from one edition of a dump to the next: `beer_2020-05/Posts.xml` is `beer`."""
    path = path.resolve()
    name = path.name if path.is_dir() else path.stem
    if name.lower() == "posts":
        name = path.parent.name
    previous = None
    while name != previous:
        previous, name = name, _DECORATION.sub("", _EDITION.sub("", name))
    return name or "posts"


def _in_folder(given: str, number: int, folder: Path, site: str | None) -> tuple[list[Source], list[Path]]:
    grouped: dict[tuple[Path, Kind], list[Path]] = {}
    ignored: list[Path] = []
    sources: list[Source] = []
    for file in sorted(folder.rglob("*")):
        inner = file.relative_to(folder).parts
        if not file.is_file() or file.suffix.lower() not in _ENDINGS or any(part.startswith(".") for part in inner):
            continue
        try:
            kind = kind_of(file)
        except UnknownKindError:
            ignored.append(file)
            continue
        if kind.rows == "posts":
            sources.append(Source(given, number, site or site_of(file), kind.form, kind.rows, (file,)))
        else:
            grouped.setdefault((file.parent, kind), []).append(file)
    for (parent, kind), files in grouped.items():
        sources.append(Source(given, number, site or site_of(parent), kind.form, kind.rows, tuple(files)))
    if not sources:
        raise SeamError(f"{given} has no file from which posts can be read; give a folder with Posts.xml, CSV or rows.")
    return sources, ignored


def _refuse_twins(sources: list[Source]) -> None:
    seen: dict[str, Source] = {}
    files: set[Path] = set()
    for source in sources:
        for file in source.files:
            if file.resolve() in files:
                raise SeamError(f"{file} is given twice; give it once.")
            files.add(file.resolve())
        if source.rows != "posts":
            continue
        if source.site in seen:
            both = f"{seen[source.site].files[0]} and {source.files[0]}"
            raise SeamError(f"{both} are both dumps of {source.site!r}, so their ids collide; rename a folder or file.")
        seen[source.site] = source
