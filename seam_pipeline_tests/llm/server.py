"""A scripted chat server on loopback: real sockets, faults on demand."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .batch_server import BatchServer
from .wire import CUT, EMPTY, REFUSE, completion, send

__all__ = ["CUT", "EMPTY", "REFUSE", "Scripted", "scripted_server"]

OK, HANG, HALF, NOT_JSON = "ok", "hang", "half", "not json"
NO_CHOICES = "no choices"
Step = str | int
"""What happens to one request: a status code, or one of the words above."""


@dataclass
class Scripted:
    """For each prompt, the steps of its requests in turn; the last step repeats."""

    url: str = ""
    answer: Callable[[str], str] = lambda prompt: f"reply to {prompt}"
    script: dict[str, list[Step]] = field(default_factory=dict)
    retry_after: str | None = None
    requests: list[dict[str, Any]] = field(default_factory=list)
    times: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    most_at_once: int = 0
    delay: float = 0.0
    error: str = ""
    code: str | None = None
    batches: BatchServer = field(default_factory=BatchServer)
    _open: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def step(self, prompt: str, body: dict[str, Any]) -> Step:
        with self._lock:
            self._open += 1
            self.most_at_once = max(self.most_at_once, self._open)
            self.requests.append(body)
            self.times[prompt].append(time.monotonic())
            steps = self.script.get(prompt, [OK])
            return steps[min(len(self.times[prompt]), len(steps)) - 1]

    def done(self) -> None:
        with self._lock:
            self._open -= 1


@contextmanager
def scripted_server(**settings: Any) -> Iterator[Scripted]:
    scripted = Scripted(**settings)
    scripted.batches.rows = scripted

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            scripted.batches.get(self)

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            if not self.path.endswith("/chat/completions"):
                scripted.batches.post(self, content)
                return
            body = json.loads(content)
            body["authorization"] = self.headers["Authorization"]
            prompt = body["messages"][-1]["content"]
            step = scripted.step(prompt, body)
            try:
                time.sleep(scripted.delay)
                _play(self, scripted, prompt, step)
            finally:
                scripted.done()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    scripted.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield scripted
    finally:
        server.shutdown()
        server.server_close()


def _play(handler: BaseHTTPRequestHandler, scripted: Scripted, prompt: str, step: Step) -> None:
    if isinstance(step, int):
        headers = {"Retry-After": scripted.retry_after} if scripted.retry_after else {}
        return send(
            handler,
            step,
            json.dumps({"error": {"message": scripted.error or f"fault {step}", "code": scripted.code}}),
            headers,
        )
    if step == HANG:
        time.sleep(3)
        handler.close_connection = True
        return None
    if step == NOT_JSON:
        return send(handler, 200, '{"choices": [{"mess')
    if step == NO_CHOICES:
        return send(handler, 200, '{"object": "chat.completion"}')
    text = json.dumps(completion(scripted.answer(prompt), step))
    if step == HALF:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(text.encode())))
        handler.end_headers()
        handler.wfile.write(text.encode()[: len(text) // 2])
        handler.close_connection = True
        return None
    return send(handler, 200, text)
