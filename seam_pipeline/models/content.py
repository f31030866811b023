"""Hashes of what a file, a folder or a whole model contains."""

import hashlib
import json
from functools import lru_cache
from pathlib import Path

from ..errors import SeamError
from ._files import ADAPTER_CONFIG, Base, adapter_base, local, read_json, read_stack

CHUNK = 1 << 20


def content_hash(folder_or_file: Path) -> str:
    """sha256 (hex) over sorted relative file names, sizes and bytes; a file's own name doesn't count.

    Raises SeamError when there is nothing at the path.
    """
    path = Path(folder_or_file)
    if not path.exists():
        raise SeamError(f"Nothing at {path} to hash; give an existing file or folder.")
    digest = hashlib.sha256()
    if path.is_file():
        _feed(digest, path)
        return digest.hexdigest()
    files = {item.relative_to(path).as_posix(): item for item in path.rglob("*") if item.is_file()}
    for name in sorted(files):
        digest.update(f"{len(name.encode())}:{name}:{files[name].stat().st_size}:".encode())
        _feed(digest, files[name])
    return digest.hexdigest()


def _feed(digest: "hashlib._Hash", path: Path) -> None:
    with path.open("rb") as stream:
        while block := stream.read(CHUNK):
            digest.update(block)


def model_content(path: str | Path) -> str:
    """Hash of everything that a policy or reward model computes with: base, adapters, head, tokenizer.

    Equal models in other places have equal hashes. A hub model counts as the commit that is in the hub's cache.
    Raises SeamError for an incomplete folder.
    """
    folder = local(path)
    if folder is not None and (folder / ADAPTER_CONFIG).is_file():
        named = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path")
        return _joined("adapter", _folder(folder), _base(adapter_base(folder, named)))
    stack = read_stack(path)
    adapters = [_folder(place) for _, place in stack.adapters]
    head = content_hash(stack.head) if stack.head is not None else ""
    return _joined(stack.kind, str(stack.append_eos), head, *adapters, _base(stack.base))


def _base(base: Base) -> str:
    folder = local(base.path)
    return _joined(_commit(base) if folder is None else _folder(folder), str(base.dtype))


def _folder(folder: Path) -> str:
    states = [(item.name, item.stat()) for item in sorted(folder.rglob("*")) if item.is_file()]
    return _hashed_once(folder.resolve(), tuple((name, state.st_size, state.st_mtime_ns) for name, state in states))


@lru_cache(maxsize=64)
def _hashed_once(folder: Path, _state: tuple[tuple[str, int, int], ...]) -> str:
    return content_hash(folder)


def _commit(base: Base) -> str:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(base.path, "config.json", revision=base.revision)
    if not isinstance(found, str):
        raise SeamError(f"{base.path} is not in the hub's cache; load it once, or give a local folder.")
    return f"{base.path}@{Path(found).parent.name}"


def _joined(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
