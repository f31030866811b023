"""Prompt templates: plain text files with {fields}."""

import hashlib
import re
from importlib.resources import files
from pathlib import Path

from ..errors import SeamError


def load_template(path: str | None, package: str, name: str, needed: tuple[str, ...]) -> str:
    """The user's file, or the shipped `templates/<name>` of a package; every field in `needed` must occur.

    Raises SeamError naming the file and the missing field.
    """
    if path is None:
        text, where = (files(package) / "templates" / name).read_text("utf-8"), name
    else:
        where = path
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SeamError(f"The prompt template {path} could not be read ({type(error).__name__}).") from error
    missing = [field for field in needed if f"{{{field}}}" not in text]
    if missing:
        raise SeamError(f"The prompt template {where} lacks {{{missing[0]}}}; it must contain this field.")
    return text


def template_hash(path: str | None, package: str, name: str) -> str:
    """Short hash of a template's bytes, for an artifact's recipe; `absent` where the file is not there."""
    try:
        content = (files(package) / "templates" / name).read_bytes() if path is None else Path(path).read_bytes()
    except OSError:
        return "absent"
    return hashlib.sha256(content).hexdigest()[:16]


def fill(template: str, **values: str) -> str:
    """Replace the {fields} that are given, in one pass: braces inside the values stay as they are."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), template)
