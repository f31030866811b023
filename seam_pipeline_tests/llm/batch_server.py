"""The Batch API's endpoints of the scripted server: states, faults and a look at every event."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .wire import completion, send

MISSING, HALF_LINE = "missing", "half line"
"""Steps of a row in a batch: no line for it; a line that breaks off. A number is an error line."""


@dataclass
class BatchServer:
    """Batches run to `end` after `polls` looks at them; `on` is told of each event before its answer is sent."""

    end: list[str] = field(default_factory=lambda: ["completed"])
    """Last state of each batch in turn; the last one repeats."""
    polls: int = 0
    create: list[int | str] = field(default_factory=list)
    """Steps of the creations: a status, `made 500` (made, but answered with 500), or ok."""
    said: str = ""
    lose_results: bool = False
    absent: bool = False
    """Whether the server knows no batches at all."""
    on: Callable[[str], None] = lambda event: None
    files: dict[str, bytes] = field(default_factory=dict)
    made: list[dict[str, Any]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)
    rows: Any = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        if self.absent:
            send(handler, 404, '{"detail": "Not Found"}')
            return
        url = urlsplit(handler.path)
        parts = url.path.removeprefix("/v1/").split("/")
        if parts == ["batches"]:
            self._event("list")
            after = parse_qs(url.query).get("after", [None])[0]
            listed = [{k: v for k, v in batch.items() if k != "looks"} for batch in reversed(self.made)]
            start = next((i + 1 for i, batch in enumerate(listed) if batch["id"] == after), 0)
            page = listed[start : start + 2]  # short pages: clients must turn them
            last = page[-1]["id"] if page else None
            more = start + 2 < len(listed)
            send(handler, 200, json.dumps({"object": "list", "data": page, "has_more": more, "last_id": last}))
        elif parts[0] == "batches":
            self._event("poll")
            found = next((b for b in self.made if b["id"] == parts[1]), None)
            if found is None:
                send(handler, 404, '{"error": {"message": "no such batch"}}')
            else:
                self._advance(found)
                send(handler, 200, json.dumps(found))
        elif parts[1] in self.files:
            self._event("read")
            send(handler, 200, self.files[parts[1]].decode())
        else:
            send(handler, 404, '{"error": {"message": "no such file"}}')

    def post(self, handler: BaseHTTPRequestHandler, content: bytes) -> None:
        if handler.path.endswith("/files"):
            self._event("upload")
            boundary = handler.headers["Content-Type"].split("boundary=")[1].strip('"').encode()
            part = next(p for p in content.split(b"--" + boundary) if b'name="file"' in p)
            with self._lock:
                name = f"file-{len(self.files)}"
                self.files[name] = part.split(b"\r\n\r\n", 1)[1].removesuffix(b"\r\n")
            send(handler, 200, json.dumps(_file(name)))
            return
        self._event("create")
        body = json.loads(content)
        step = self.create.pop(0) if self.create else "ok"
        if isinstance(step, int):
            send(handler, step, '{"error": {"message": "not now"}}')
            return
        with self._lock:
            batch = {
                "id": f"batch_{len(self.made)}",
                "object": "batch",
                "endpoint": body["endpoint"],
                "input_file_id": body["input_file_id"],
                "completion_window": body["completion_window"],
                "metadata": body["metadata"],
                "created_at": 1,
                "status": "in_progress",
                "looks": 0,
            }
            self.made.append(batch)
        self._event("created")
        if step == "made 500":
            send(handler, 500, '{"error": {"message": "made it all the same"}}')
        else:
            send(handler, 200, json.dumps(batch))

    def _event(self, name: str) -> None:
        self.events.append(name)
        self.on(name)

    def _advance(self, batch: dict[str, Any]) -> None:
        batch["looks"] += 1
        if batch["looks"] <= self.polls or batch["status"] in self.end:
            batch["request_counts"] = {"total": 1, "completed": min(batch["looks"], 1), "failed": 0}
            return
        number = self.made.index(batch)
        batch["status"] = self.end[min(number, len(self.end) - 1)]
        if batch["status"] == "failed":
            batch["errors"] = {"object": "list", "data": [{"code": "bad", "message": self.said or "bad file"}]}
            return
        output, errors = self._run(self.files[batch["input_file_id"]], batch["status"])
        for kind, lines in (("output", output), ("error", errors)):
            if lines:
                name = f"file-{len(self.files)}"
                self.files[name] = b"\n".join(lines) + b"\n"
                if self.lose_results:
                    self.files[name + "-kept"] = self.files.pop(name)
                batch[f"{kind}_file_id"] = name

    def _run(self, content: bytes, end: str) -> tuple[list[bytes], list[bytes]]:
        """Half of the rows are done when a batch expires or is cancelled."""
        lines = [json.loads(line) for line in content.splitlines()]
        ready = lines if end == "completed" else lines[: len(lines) // 2]
        output, errors = [], []
        for line in reversed(ready):  # results come in any order
            prompt = line["body"]["messages"][-1]["content"]
            step = self.rows.script.get(prompt, ["ok"])[-1]
            if step == MISSING:
                continue
            entry: dict[str, Any] = {"id": "r", "custom_id": line["custom_id"], "error": None}
            if isinstance(step, int):
                entry["response"] = {
                    "status_code": step,
                    "body": {"error": {"message": self.rows.error or f"fault {step}"}},
                }
                errors.append(json.dumps(entry).encode())
                continue
            entry["response"] = {"status_code": 200, "body": completion(self.rows.answer(prompt), step)}
            text = json.dumps(entry).encode()
            output.append(text[: len(text) // 2] if step == HALF_LINE else text)
        if end == "expired":
            errors += [
                json.dumps(
                    {
                        "custom_id": line["custom_id"],
                        "response": None,
                        "error": {"code": "batch_expired", "message": "late"},
                    }
                ).encode()
                for line in lines[len(lines) // 2 :]
            ]
        return output, errors


def _file(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "file",
        "bytes": 1,
        "created_at": 1,
        "filename": "x",
        "purpose": "batch",
        "status": "ok",
    }
