"""A real HTTP server on 127.0.0.1 that serves files, well or badly."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Home:
    """What the server has, and how it behaves.

    Attributes:
        files: by path, such as "/a.bin".
        break_after: bytes after which a transfer is cut, once per entry; then whole.
        ranges: whether it honours Range.
        lengths: whether it says how long a file is.
        chunked: whether it sends a file in chunks, whose end is marked.
        moved: where a path leads on to.
        asked: (path, Range header) of every request.
    """

    files: dict[str, bytes]
    break_after: list[int] = field(default_factory=list)
    ranges: bool = True
    lengths: bool = True
    chunked: bool = False
    moved: dict[str, str] = field(default_factory=dict)
    url: str = ""
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def serving(home: Home) -> Iterator[Home]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            home.asked.append((self.path, wanted))
            if self.path in home.moved:
                self.send_response(302)
                self.send_header("Location", home.moved[self.path])
                self.end_headers()
                return
            if self.path not in home.files:
                self.send_error(404)
                return
            content, start = home.files[self.path], 0
            if wanted and home.ranges:
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                if start >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            # Before a client hears anything, so that what a test sets next is for the next request.
            cut = bool(home.break_after)
            piece = content[start : start + home.break_after.pop(0)] if cut else content[start:]
            if home.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            elif home.lengths:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if home.chunked:
                piece = (b"%x\r\n%s\r\n" % (len(piece), piece) if piece else b"") + (b"" if cut else b"0\r\n\r\n")
            self.wfile.write(piece)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    home.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield home
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
