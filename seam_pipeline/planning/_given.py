"""A user's file of measured speeds."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from ..errors import SeamError
from ..experiment import Throughput


def read_throughput(path: Path) -> tuple[Throughput, ...]:
    """One entry, or a list with one per model size; keys as in `compute.throughput`.

    Raises SeamError naming the file and the key.
    """
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
    except OSError as error:
        raise SeamError(f"--throughput {path} cannot be read ({error.strerror}); give a YAML file.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SeamError(f"--throughput {path} is not valid YAML: {' '.join(str(error).split())}.") from error
    entries = [raw] if isinstance(raw, Mapping) else raw
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, Mapping) for entry in entries):
        raise SeamError(
            f"--throughput {path} must hold keys such as score_tokens_per_second, or a list of such entries."
        )
    try:
        return tuple(Throughput.model_validate(entry) for entry in entries)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        known = f"; keys: {', '.join(Throughput.model_fields)}" if first["type"] == "extra_forbidden" else ""
        raise SeamError(f"--throughput {path}: {key}: {first['msg']}{known}.") from error
