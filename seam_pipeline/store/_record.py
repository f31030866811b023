"""The note that lies beside every artifact and says what produced it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
FILE = "record.json"
RECIPE_FILE = ".recipe"
UPLOAD_FILE = ".upload"
"""Lies in an artifact that has not reached the remote store yet."""


class NewerFormatError(ValueError):
    """A record written by a later version of this package."""


@dataclass(frozen=True)
class Record:
    """What produced an artifact, and what it contains."""

    asset: str
    partition: str | None
    experiment: str
    kind: str
    """`table`, `tables`, `folder` or `json`."""
    data_version: str
    """Hash of the content: equal content, equal version, whatever the path that led there."""
    recipe: str
    """Hash of the code version, the resolved settings and the inputs' data versions."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Data version per `asset` or `asset|partition` read."""
    failed_checks: tuple[str, ...] = ()
    seconds: float = 0.0
    notes: Mapping[str, Any] = field(default_factory=dict)
    """How it went: tokens computed, requests, cost."""
    format: int = FORMAT

    def to_json(self) -> str:
        """Indented JSON with sorted keys."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @staticmethod
    def from_json(text: str) -> "Record":
        """Raises NewerFormatError for a later format, ValueError for a record that is cut short or unknown."""
        raw: Any = json.loads(text)
        if not isinstance(raw, dict):
            raise ValueError("it is no record")
        if isinstance(raw.get("format"), int) and raw["format"] > FORMAT:
            raise NewerFormatError(f"record format {raw['format']}, this version reads {FORMAT}")
        if raw.get("format") != FORMAT:
            raise ValueError(f"record format {raw.get('format')}, this version reads {FORMAT}")
        raw["failed_checks"] = tuple(raw["failed_checks"])
        return Record(**raw)


def recipe_of(code_version: str, settings: str, inputs: Mapping[str, str]) -> str:
    """Hash of everything that decides an artifact's content."""
    text = json.dumps([code_version, settings, sorted(inputs.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def payload_files(folder: Path) -> list[Path]:
    """Every file below an artifact's folder but the store's own."""
    own = {folder / name for name in (FILE, RECIPE_FILE, UPLOAD_FILE)}
    return sorted(p for p in folder.rglob("*") if p.is_file() and p not in own)


def hash_folder(folder: Path) -> str:
    """Hash of the relative names and bytes of an artifact's payload."""
    digest = hashlib.sha256()
    for path in payload_files(folder):
        digest.update(f"{path.relative_to(folder).as_posix()}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]
