"""`dxbench leaderboard serve` against other sites' names, odd addresses, slow clients and signals."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from dxbench.cli import server as module
from dxbench.cli.server import SiteServer


@pytest.fixture
def site(tmp_path: Path) -> Iterator[SiteServer]:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "index.html").write_text("<h1>index</h1>")
    (tmp_path / "tasks" / "a b.html").write_text("<h1>a b</h1>")
    (tmp_path / ".dxbench-site").write_text("ours")
    with running(SiteServer(tmp_path, 0)) as server:
        yield server


@contextmanager
def running(server: SiteServer) -> Iterator[SiteServer]:
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    with server:
        yield server
        server.shutdown()
        thread.join()


def ask(server: SiteServer, line: str, *headers: str) -> tuple[int, bytes]:
    """Status and all that came; 0 for no answer at all."""
    headers = headers or (f"Host: 127.0.0.1:{server.server_port}",)
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as client:
        client.sendall("\r\n".join([line, *headers, "", ""]).encode("latin1"))
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    return int(answer.split()[1]) if answer.startswith(b"HTTP/") else 0, answer


def test_pages_come_with_headers_that_bind_a_browser(site: SiteServer):
    for line, text in (("GET / HTTP/1.1", b"index"), ("GET /tasks/a%20b.html?sort=x HTTP/1.1", b"a b")):
        status, answer = ask(site, line)
        assert status == 200
        assert text in answer.partition(b"\r\n\r\n")[2]
        for header in (b"X-Content-Type-Options: nosniff", b"Content-Security-Policy: default-src 'none'"):
            assert header in answer
    status, answer = ask(site, "HEAD / HTTP/1.1")
    assert (status, answer.partition(b"\r\n\r\n")[2]) == (200, b"")


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        *(
            (f"GET {path} HTTP/1.1", 404)
            for path in (
                "/tasks", "/tasks/", "/%00", "/a%00.html", "/.dxbench-site", "/%2e%2e/index.html",
                "/..%2f..%2fetc/passwd",
                "//evil.example/%2f..", "//evil.example", "/%ff", "/" + "a" * 5000, "/tasks/../index.html",
                "/index.html/", "/CON", "/index.html%0d%0aSet-Cookie:a=b", "/\\evil.example",
            )
        ),
        ("GET http://evil.example/ HTTP/1.1", 400),
        ("GET * HTTP/1.1", 400),
        ("GET /" + "a" * 70_000 + " HTTP/1.1", 414),
        ("POST / HTTP/1.1", 501),
        ("PUT /index.html HTTP/1.1", 501),
        ("nonsense", 400),
        ("\x00\x01\x02", 400),
    ],
)  # fmt: skip
def test_odd_addresses_get_an_answer_and_lead_nowhere(site: SiteServer, line: str, wanted: int):
    status, answer = ask(site, line)
    assert status == wanted or (wanted == 400 and b"Error code: 400" in answer)
    assert b"Location:" not in answer
    assert b"Set-Cookie:" not in answer


def test_another_sites_name_that_leads_here_gets_nothing(site: SiteServer):
    port = site.server_port
    for host in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", f"LOCALHOST:{port}"):
        assert ask(site, "GET / HTTP/1.1", f"Host: {host}")[0] == 200
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "localhost",
        f"localhost:{port + 1}",
        f"localhost.evil:{port}",
    ):
        status, answer = ask(site, "GET / HTTP/1.1", f"Host: {host}")
        assert status == 421
        assert b"<h1>index" not in answer
    assert ask(site, "GET / HTTP/1.1", "Accept: */*")[0] == 421
    assert ask(site, "GET / HTTP/1.1", f"Host: localhost:{port}", "Host: evil.example")[0] == 421


def test_slow_clients_are_closed_and_keep_nobody_out(site: SiteServer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SECONDS", 1.0)
    before = threads()
    slow = [socket.create_connection(("127.0.0.1", site.server_port), timeout=10) for _ in range(3 * module.MOST)]
    try:
        for client in slow:
            client.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert ask(site, "GET / HTTP/1.1")[0] == 200
        assert threads() - before <= module.MOST + 2
        end = time.monotonic() + 3
        while time.monotonic() < end and threads() > before:
            for client in slow[-5:]:  # a byte now and then buys no time
                try_to_send(client)
            time.sleep(0.1)
        assert threads() <= before
    finally:
        for client in slow:
            client.close()


def try_to_send(client: socket.socket) -> None:
    try:
        client.sendall(b"a")
    except OSError:
        return


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_every_signal_takes_its_folder_away(tmp_path: Path, number: signal.Signals):
    command = [sys.executable, "-m", "dxbench", "leaderboard", "serve", "--port", "0"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stderr is not None
            server.stdout.readline()
            assert server.stdout.readline().startswith("http://127.0.0.1:")
            assert [path.name[:13] for path in tmp_path.glob("dxbench-site-*")] == ["dxbench-site-"]
            server.send_signal(number)
            assert server.wait(timeout=120) == 0
            assert server.stderr.read() == ""
            assert list(tmp_path.glob("dxbench-site-*")) == []
        finally:
            server.kill()
