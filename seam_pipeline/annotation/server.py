"""The page on 127.0.0.1: a few JSON requests on the standard library's server."""

import errno
import json
import re
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ..errors import SeamError
from ..report._palette import DARK, LIGHT, css_variables
from ._session import RefusedError, Session

ADDRESS = "127.0.0.1"
MAX_BODY = 1 << 16
_LOCAL = re.compile(r"(127\.0\.0\.1|localhost)(:\d{1,5})?")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "json": "application/json"}


class AnnotationServer(ThreadingHTTPServer):
    """Serves one session until `close`. Raises SeamError for a port in use."""

    daemon_threads = True

    def __init__(self, session: Session, port: int) -> None:
        """Port 0 takes a free one."""
        self.session = session
        self.writing = threading.Lock()
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SeamError(f"Port {port} on {ADDRESS} can't be opened ({error.strerror}); give --port.") from error
            raise SeamError(f"Port {port} on {ADDRESS} is in use; stop what runs there or give --port.") from error

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{ADDRESS}:{self.server_port}"

    def close(self) -> None:
        """End after the choice that is being written; none is begun any more."""
        self.writing.acquire()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no error; anything else is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: AnnotationServer
    server_version, sys_version = "seam", ""
    timeout = 30

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the terminal quiet."""

    def do_GET(self) -> None:
        """The page, its style and script, and the pairs."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """A choice."""
        self._answer(self._post)

    def _answer(self, make: Any) -> None:
        try:
            self._refuse_foreign()
            kind, body = make()
            status = 200
        except RefusedError as refused:
            status, kind, body = refused.status, "json", _json({"error": str(refused)})
        except SeamError as error:
            status, kind, body = 500, "json", _json({"error": str(error)})
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{_TYPES[kind]}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse_foreign(self) -> None:
        """Another host name means DNS rebinding; another origin is another site's page."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if not _LOCAL.fullmatch(host):
            raise RefusedError(403, f"This page is at {self.server.url} only.")
        if origin != f"http://{host}" and (origin is not None or self.command == "POST"):
            raise RefusedError(403, "Requests of other sites are not answered.")

    def _get(self) -> tuple[str, bytes]:
        asked = urlsplit(self.path)
        name = {"/": "annotate.html", "/annotate.css": "annotate.css", "/annotate.js": "annotate.js"}.get(asked.path)
        if name is not None:
            return name.rpartition(".")[2], _asset(name)
        query = {key: values[-1] for key, values in parse_qs(asked.query).items()}
        session, annotator = self.server.session, query.get("annotator", "")
        if asked.path == "/api/people":
            return "json", _json(session.people())
        if asked.path == "/api/next":
            return "json", _json(session.next_pair(annotator))
        if asked.path == "/api/before" and re.fullmatch(r"\d{1,9}", query.get("position", "")):
            return "json", _json(session.pair_before(annotator, int(query["position"])))
        raise RefusedError(404, "There is nothing here.")

    def _post(self) -> tuple[str, bytes]:
        length = self.headers.get("Content-Length", "")
        if self.path != "/api/judge" or self.headers.get_content_type() != "application/json":
            raise RefusedError(404, "Choices are sent as JSON to /api/judge.")
        if not length.isdecimal() or int(length) > MAX_BODY:
            raise RefusedError(413, "The request is too long.")
        try:
            sent = json.loads(self.rfile.read(int(length)))
        except ValueError as error:
            raise RefusedError(400, "The request is not JSON.") from error
        if not isinstance(sent, dict):
            raise RefusedError(400, "The request is no JSON object.")
        with self.server.writing:
            return "json", _json(self.server.session.judge(sent))


def _asset(name: str) -> bytes:
    body = files("seam_pipeline.annotation").joinpath("templates", name).read_bytes()
    if not name.endswith(".css"):
        return body
    light, dark = css_variables(LIGHT), css_variables(DARK)
    colours = f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n"
    return colours.encode() + body


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
