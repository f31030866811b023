"""Model folders: what a path means, and the format of our stacks (`stack.json`)."""

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import SeamError

STACK, BASE, HEAD, ADAPTERS = "stack.json", "base.json", "head.safetensors", "adapters"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FORMAT = 1
HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$")

Kind = Literal["policy", "reward"]


@dataclass(frozen=True)
class Base:
    """Where a frozen base model is: an existing folder or a hub id, and how to read it."""

    path: str
    revision: str | None = None
    dtype: str | None = None


@dataclass(frozen=True)
class StackFile:
    """A model folder, read but not loaded: `adapters` are (name, folder) in the order in which they add.

    `base_path` is the base as to be written into another stack: a folder (maybe of a `base.json`) or a hub id.
    """

    folder: Path | None
    kind: Kind
    base: Base
    base_path: str
    adapters: tuple[tuple[str, Path], ...]
    append_eos: bool = False

    @property
    def head(self) -> Path | None:
        """The reward head's file (reward stacks only)."""
        return self.folder / HEAD if self.kind == "reward" and self.folder is not None else None


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises SeamError when it is absent or is none."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise SeamError(f"{path} is missing; the folder is not a complete model folder.") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise SeamError(f"{path} is not valid JSON ({error}); write the folder again.") from error
    if not isinstance(value, dict):
        raise SeamError(f"{path} must hold a JSON object; write the folder again.")
    return value


def local(path: str | Path) -> Path | None:
    """The folder at `path`, or None when it can only be a hub id.

    Raises SeamError when it is neither.
    """
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise SeamError(f"{folder} is a file; give the model's folder.")
    if not HUB_ID.match(str(path)):
        raise SeamError(f"No model folder at {path}; check the path or give a hub id such as owner/name.")
    return None


def read_base(path: str | Path) -> Base:
    """Resolve a base: a HF folder, a folder with `base.json`, or a hub id."""
    folder = local(path)
    if folder is None:
        return Base(str(path))
    if not (folder / BASE).is_file():
        return Base(str(folder))
    fields = read_json(folder / BASE)
    if not isinstance(fields.get("path"), str):
        raise SeamError(f"{folder / BASE} needs a `path`: the base model's folder or hub id.")
    beside = folder / fields["path"]
    return Base(str(beside if beside.is_dir() else fields["path"]), fields.get("revision"), fields.get("dtype"))


def read_stack(path: str | Path) -> StackFile:
    """Read one of our model folders; a base folder or hub id is a policy without adapters.

    Raises SeamError when the folder is incomplete or of another format.
    """
    folder = local(path)
    if folder is None or not (folder / STACK).is_file():
        return StackFile(folder, "policy", read_base(path), str(path), ())
    fields = read_json(folder / STACK)
    if fields.get("format") != FORMAT or fields.get("kind") not in ("policy", "reward"):
        raise SeamError(f"{folder / STACK} has an unknown format or kind; train the model again with this version.")
    adapters = tuple((name, folder / ADAPTERS / name) for name in fields.get("adapters", ()))
    for _, place in adapters:
        if not (place / ADAPTER_CONFIG).is_file() or not (place / ADAPTER_WEIGHTS).is_file():
            raise SeamError(f"Adapter {place} is incomplete ({ADAPTER_CONFIG}, {ADAPTER_WEIGHTS}); train it again.")
    base = _base_of(folder, str(fields.get("base", "")))
    return StackFile(folder, fields["kind"], read_base(base), base, adapters, bool(fields.get("append_eos", False)))


def adapter_base(folder: Path, named: str | None) -> Base:
    """The base of a plain PEFT adapter: what its configuration names, or that of the stack around it.

    Raises SeamError when there is neither.
    """
    if named:
        beside = folder / named
        return read_base(beside if beside.is_dir() else named)
    home = folder.parent.parent
    if (home / STACK).is_file():
        return read_stack(home).base
    raise SeamError(f"Adapter {folder} names no base model; set base_model_name_or_path in {ADAPTER_CONFIG}.")


def _base_of(folder: Path, written: str) -> str:
    beside = folder / written
    if written and beside.is_dir():
        return os.path.normpath(beside)
    try:
        local(written)
    except SeamError as error:
        raise SeamError(
            f"The base model {written!r} of {folder} is gone; put it back or train the stack again."
        ) from error
    return written


def write_stack(
    out: Path, kind: Kind, base: str | Path, adapters: Sequence[str], *, append_eos: bool | None = None
) -> None:
    """Write `stack.json`; call it last, so that an interrupted training leaves no readable folder.

    `base` is written relative to the folder when it is a local one.
    """
    out.mkdir(parents=True, exist_ok=True)
    fields: dict[str, Any] = {"format": FORMAT, "kind": kind, "base": _portable(base, out), "adapters": list(adapters)}
    if append_eos is not None:
        fields["append_eos"] = append_eos
    (out / STACK).write_text(json.dumps(fields, indent=2) + "\n", "utf-8")


def relink(folder: Path, base: str | Path) -> None:
    """Point a stack that was moved, or whose base was moved, at its base again."""
    fields = read_json(folder / STACK)
    fields["base"] = _portable(base, folder)
    (folder / STACK).write_text(json.dumps(fields, indent=2) + "\n", "utf-8")


def _portable(base: str | Path, folder: Path) -> str:
    place = Path(base).expanduser()
    if not place.is_dir():
        return str(base)
    return Path(os.path.relpath(place.resolve(), folder.resolve())).as_posix()
