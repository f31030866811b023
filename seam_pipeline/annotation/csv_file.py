"""Judgements as CSV: one row each, the pairs' further columns behind."""

import csv
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TextIO

from ..errors import SeamError
from ..wholefile import write_whole
from ._judgement import CHOICES, MAX_COMMENT, Judgement, clean_name, now
from .pairs import Pair

_NEEDED = ("id", "annotator", "choice")


def write_csv(path: Path, judgements: Iterable[Judgement], pairs: Iterable[Pair]) -> None:
    """UTF-8, header first; the last row of a person on a pair is the one that stands."""
    extras = {pair.id: pair.extra for pair in pairs}
    more = list(dict.fromkeys(name for extra in extras.values() for name in extra))

    def write(target: Path) -> None:
        with target.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow([*Judgement._fields, *more])
            for judgement in judgements:
                extra = extras.get(judgement.id, {})
                writer.writerow([*judgement, *(extra.get(name) for name in more)])

    write_whole(path, write)


def read_csv(path: Path) -> list[Judgement]:
    """Judgements in the file's order; only id, annotator and choice are needed, further columns are not read.

    Raises SeamError for a missing column, a choice that is not 1, 2 or tie, or another value of the wrong kind.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            return _rows(stream, path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SeamError(f"{path} can't be read as CSV ({error}); save it as UTF-8 CSV.") from error


def _rows(stream: TextIO, path: Path) -> list[Judgement]:
    reader = csv.DictReader(stream)
    names = reader.fieldnames or []
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        found = ", ".join(names) or "none"
        raise SeamError(f"{path}: column {missing[0]} is missing (found: {found}); it needs {', '.join(_NEEDED)}.")
    started = now()
    return [_judgement(row, f"{path}: row {number}", started) for number, row in enumerate(reader, 1)]


def _judgement(row: Mapping[str, str | None], where: str, started: str) -> Judgement:
    name = clean_name(row["annotator"] or "")
    if not row["id"] or name is None:
        raise SeamError(
            f"{where}: {'annotator' if row['id'] else 'id'} is empty or no name; fill it or remove the row."
        )
    choice = next((choice for choice in CHOICES if choice == row["choice"]), None)
    left = row.get("left") or None
    if choice is None or left not in (None, "1", "2"):
        column, value = ("choice", row["choice"]) if choice is None else ("left", left)
        raise SeamError(
            f"{where}: {column} is {value!r}; it must be 1, 2{' or tie' if choice is None else ' or empty'}."
        )
    return Judgement(
        id=row["id"],
        annotator=name,
        choice=choice,
        left="1" if left == "1" else "2" if left else None,
        seconds=_seconds(row.get("seconds") or "", where),
        comment=(row.get("comment") or "")[:MAX_COMMENT] or None,
        at=row.get("at") or started,
        pair=row.get("pair") or None,
    )


def _seconds(text: str, where: str) -> float | None:
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise SeamError(f"{where}: seconds is {text!r}; it must be a number from 0 or empty.")
    return seconds
