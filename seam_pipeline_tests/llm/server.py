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

OK, HANG, HALF, NOT_JSON = "ok", "hang", "half", "not json"
NO_CHOICES, REFUSE, EMPTY, CUT = "no choices", "refuse", "empty", "cut"
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

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
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
        return _send(handler, step, json.dumps({"error": {"message": f"fault {step}"}}), headers)
    if step == HANG:
        time.sleep(3)
        handler.close_connection = True
        return None
    if step == NOT_JSON:
        return _send(handler, 200, '{"choices": [{"mess')
    if step == NO_CHOICES:
        return _send(handler, 200, '{"object": "chat.completion"}')
    text = json.dumps(_completion(scripted.answer(prompt), step))
    if step == HALF:
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(text.encode())))
        handler.end_headers()
        handler.wfile.write(text.encode()[: len(text) // 2])
        handler.close_connection = True
        return None
    return _send(handler, 200, text)


def _completion(answer: str, step: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer}
    if step == REFUSE:
        message = {"role": "assistant", "content": None, "refusal": "I would rather not."}
    if step == EMPTY:
        message["content"] = " "
    choice = {"index": 0, "message": message, "finish_reason": "length" if step == CUT else "stop"}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


def _send(handler: BaseHTTPRequestHandler, status: int, text: str, headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(text.encode())))
    handler.end_headers()
    handler.wfile.write(text.encode())
