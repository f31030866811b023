"""What goes over the wire: completions and HTTP answers."""

from http.server import BaseHTTPRequestHandler
from typing import Any

REFUSE, EMPTY, CUT, NO_USAGE = "refuse", "empty", "cut", "no usage"


def completion(answer: str, step: str) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer}
    if step == REFUSE:
        message = {"role": "assistant", "content": None, "refusal": "I would rather not."}
    if step == EMPTY:
        message["content"] = " "
    choice = {"index": 0, "message": message, "finish_reason": "length" if step == CUT else "stop"}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    if step == NO_USAGE:
        usage = {}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}


def send(handler: BaseHTTPRequestHandler, status: int, text: str, headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(text.encode())))
    handler.end_headers()
    handler.wfile.write(text.encode())
