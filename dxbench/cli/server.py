"""A server of one folder of pages to this machine: what was there when it began, by name, and nothing else."""

import shutil
import socket
import sys
import time
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import unquote

from dxbench.boards.site.rendering import CONTENT_POLICY
from dxbench.errors import UsageError

HOST = "127.0.0.1"
SECONDS = 20.0
"""How long a connection may take, from its beginning to the last byte of the answer."""
MOST = 64
"""Connections at a time; of more the oldest is closed, so that slow clients keep nobody out."""
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".tex": "text/plain; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
}
_HEADERS = {
    "Content-Security-Policy": f"{CONTENT_POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class SiteServer(ThreadingHTTPServer):
    """Serves the files below a folder, without listings and redirects.

    Raises:
        UsageError: if the port is taken.
    """

    request_queue_size = 2 * MOST

    def __init__(self, folder: Path, port: int) -> None:
        pages = {f"/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*") if path.suffix in _TYPES}
        self._open: dict[socket.socket, float] = {}
        self._lock = Lock()
        try:
            super().__init__((HOST, port), partial(_Handler, pages | {"/": pages["/index.html"]}))
        except OSError as error:
            raise UsageError(f"port {port}: {error.strerror or error}; choose another with --port") from None

    @property
    def address(self) -> str:
        """The address of the first page."""
        return f"http://{HOST}:{self.server_port}/"

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answers in a thread of its own."""
        with self._lock:
            self._open[request] = time.monotonic()
            _cut(list(self._open)[:-MOST])
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Called twice a second: closes what takes too long."""
        with self._lock:
            _cut([one for one, since in self._open.items() if time.monotonic() - since > SECONDS])

    def shutdown_request(self, request: Any) -> None:
        """The end of a connection."""
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing is said of clients that went away, or were sent away."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def _cut(connections: list[socket.socket]) -> None:
    """Ends the reading and writing of their threads, which then close them."""
    for one in connections:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:  # it has gone by itself
            continue


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD.

    Args:
        pages: files by the path of their address.
    """

    server_version, sys_version = "dxbench", ""
    timeout = SECONDS

    def __init__(self, pages: dict[str, Path], *args: Any) -> None:
        self._pages = pages
        super().__init__(*args)

    def do_GET(self) -> None:
        """A page."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answer with the headers of a page, without the page."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        if not self._is_for_us():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "This site answers to localhost alone")
            return
        if not self.path.startswith("/"):
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        page = self._pages.get(unquote(self.path.partition("?")[0], errors="surrogateescape"))
        if page is None or not page.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with page.open("rb") as file:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", _TYPES[page.suffix])
            self.send_header("Content-Length", str(page.stat().st_size))
            self.end_headers()
            if body:
                shutil.copyfileobj(file, self.wfile)

    def _is_for_us(self) -> bool:
        """True where a browser was sent by our own address: another site's name may lead here too (DNS rebinding)."""
        assert isinstance(self.server, SiteServer)
        port = self.server.server_port
        names = {f"{name}:{port}" for name in ("localhost", HOST, "[::1]")}
        names |= {name.removesuffix(":80") for name in names}
        asked = self.headers.get_all("Host", [])
        return len(asked) == 1 and asked[0].strip().lower() in names

    def end_headers(self) -> None:
        """Add the headers that every answer carries, an error's too."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """A site has no line per request."""
