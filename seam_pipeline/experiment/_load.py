"""Finding, reading and checking an experiment file."""

import hashlib
import json
import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from ..errors import SeamError
from ._base import Settings
from .schema import Experiment

DEFAULT = "testbed"
DATA_VARIABLE = "$SEAM_DATA"
_HUB_ID = re.compile(
    r"[A-Za-z0-9][\w.-]*/[\w.-]*[A-Za-z0-9](?<!\.xml)(?<!\.csv)(?<!\.7z)(?<!\.jsonl)(?<!\.json)(?<!\.parquet)"
)


def shipped() -> tuple[str, ...]:
    """Names of the experiments that come with the package."""
    folder = files("seam_pipeline.experiment") / "shipped"
    return tuple(sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")))


def load_experiment(name_or_path: str | None = None) -> Experiment:
    """Read an experiment by shipped name or path; by default `SEAM_EXPERIMENT`, then the testbed.

    Raises SeamError naming the file and the key when something is wrong.
    """
    wanted = name_or_path or os.environ.get("SEAM_EXPERIMENT") or DEFAULT
    if wanted in shipped():
        text = (files("seam_pipeline.experiment") / "shipped" / f"{wanted}.yaml").read_text("utf-8")
        return parse_experiment(text, where=f"experiment {wanted}")
    path = Path(wanted)
    if not path.is_file():
        raise SeamError(
            f"Experiment {wanted!r} is neither a file nor one of {', '.join(shipped())}; give -e one of these."
        )
    return parse_experiment(path.read_text("utf-8"), where=str(path), folder=path.parent)


def parse_experiment(text: str, where: str, folder: Path | None = None) -> Experiment:
    """Check the text of an experiment file; relative data paths that exist beside it are taken from there."""
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SeamError(f"{where} is not valid YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(raw, dict):
        raise SeamError(f"{where} must be a mapping of settings, found {type(raw).__name__}.")
    _resolve_paths(raw, where, folder or Path())
    try:
        return Experiment.model_validate(raw)
    except ValidationError as error:
        raise SeamError(f"{where}: {_first_problem(error)}") from error


def _resolve_paths(raw: dict[str, object], where: str, folder: Path) -> None:
    """Fill in `$SEAM_DATA`, look beside the experiment file first, and refuse a local file that is not there."""
    data = raw.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("paths"), list):
        return
    resolved: list[str] = []
    for given in map(str, data["paths"]):
        if given == DATA_VARIABLE:
            named = [p for p in os.environ.get(DATA_VARIABLE[1:], "").split(os.pathsep) if p]
            if not named:
                raise SeamError(f"{where}: data.paths: give your dumps with --data PATH or in {DATA_VARIABLE}.")
            resolved += named
        else:
            resolved.append(str(folder / given) if (folder / given).exists() else given)
    for path in resolved:
        if not Path(path).exists() and not _HUB_ID.fullmatch(path):
            raise SeamError(f"{where}: data.paths: {path} does not exist; correct the path.")
    data["paths"] = resolved


def _first_problem(error: ValidationError) -> str:
    problems = error.errors(include_url=False)
    first = problems[0]
    key = ".".join(str(part) for part in first["loc"] if part not in ("testbed", "files"))
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        message = "there is no such key; docs/experiment.md lists them"
    if first["type"] == "string_pattern_mismatch":
        message = f"{first['input']!r} does not have its form; docs/experiment.md says which"
    more = f" ({len(problems) - 1} more problems after it)" if len(problems) > 1 else ""
    return f"{key + ': ' if key else ''}{message}{more}."


SPEED_ONLY = {"tokens_per_batch", "concurrency", "timeout_seconds", "retries", "checkpoint_every", "processes"}
"""Settings that change how long a result takes, never the result (prices and batch sizes of generation likewise)."""

_NOT_RESULT = SPEED_ONLY | {"dollars_per_million_input", "dollars_per_million_output"}


def fingerprint(*parts: Any) -> str:
    """A short hash of resolved settings (speed-only ones left out); equal settings, equal hash on every machine."""
    plain = [_plain(part) for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def _plain(part: Any) -> Any:
    if isinstance(part, Settings):
        part = part.model_dump(mode="json")
    if isinstance(part, dict):
        return {key: _plain(value) for key, value in part.items() if key not in _NOT_RESULT}
    if isinstance(part, list | tuple):
        return [_plain(value) for value in part]
    return part
