"""A batch's files: requests out, results in."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..experiment import LLMEndpoint
from ._reply import Asked, failure, read_completion, request_body
from .request import Request


def request_line(endpoint: LLMEndpoint, key: str, request: Request) -> bytes:
    """One line of the file: the row's key is its custom_id."""
    body = request_body(endpoint, request.messages)
    line = {"custom_id": key, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(line).encode() + b"\n"


def write_lines(path: Path, lines: Iterable[bytes]) -> None:
    """Write the file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        file.writelines(lines)
    part.replace(path)


def read_results(files: Iterable[str]) -> tuple[dict[str, Asked], int]:
    """Outcomes by key from output and error files, and the number of lines that could not be read."""
    results: dict[str, Asked] = {}
    unreadable = 0
    for content in files:
        for line in content.split("\n"):
            if not line.strip():
                continue
            key, asked = _result(line)
            if key is None:
                unreadable += 1
            elif key not in results or asked.answered:
                results[key] = asked
    return results, unreadable


def _result(line: str) -> tuple[str | None, Asked]:
    try:
        entry = json.loads(line)
    except ValueError:
        return None, failure("unreadable")
    if not isinstance(entry, Mapping) or not isinstance(entry.get("custom_id"), str):
        return None, failure("unreadable")
    response = entry.get("response")
    if isinstance(response, Mapping) and response.get("status_code") == 200:
        return entry["custom_id"], read_completion(response.get("body"))
    return entry["custom_id"], failure(_why(entry.get("error"), response))


def _why(error: Any, response: Any) -> str:
    status = response.get("status_code") if isinstance(response, Mapping) else None
    body = response.get("body") if isinstance(response, Mapping) else None
    inner = body.get("error") if isinstance(body, Mapping) else None
    said = next((e["message"] for e in (error, inner) if isinstance(e, Mapping) and e.get("message")), "")
    head = "the batch gave an error for this row" if status is None else f"the server answered {status}"
    return f"{head}: {' '.join(str(said).split())[:200]}" if said else head
