"""A real HTTP server on 127.0.0.1 that speaks what the client of the Hugging Face hub asks of a data set.

Paths and answers are those that `huggingface_hub` documents by asking for them: its own client is what talks to this.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

NAME = "lab/results"
WRITER, READER = "hf_writer", "hf_reader"
"""Tokens that may write, and only read."""
PAGE = 3
"""Entries of a listing that are given at a time."""


@dataclass
class Hub:
    """The server's one data set, and how it behaves.

    Attributes:
        files: by path, of the branch main.
        large: large files that were uploaded, by digest.
        commits: their messages; the number of them makes the id of the latest.
        asked: method and path of every request.
        refuse: the status that every request is refused with; 0 for none.
        private: whether a reader needs a token.
        meanwhile: whether somebody else pushes before the next commit arrives.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=lambda: ["initial commit"])
    asked: list[tuple[str, str]] = field(default_factory=list)
    refuse: int = 0
    private: bool = False
    meanwhile: bool = False
    url: str = ""

    @property
    def sha(self) -> str:
        """The id of the latest commit."""
        return hashlib.sha1(str(len(self.commits)).encode()).hexdigest()

    def entries(self) -> list[dict[str, Any]]:
        """The listing, folders as the hub lists them."""
        folders = sorted({name.rpartition("/")[0] for name in self.files if "/" in name})
        found: list[dict[str, Any]] = [
            {"type": "directory", "path": one, "oid": "0" * 40, "size": 0} for one in folders
        ]
        for name, content in sorted(self.files.items()):
            entry = {"type": "file", "path": name, "size": len(content), "oid": blob(content)}
            if is_large(name):
                entry["lfs"] = {"oid": sha256(content), "size": len(content), "pointerSize": 130}
            found.append(entry)
        return found


def blob(content: bytes) -> str:
    """The id that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def is_large(name: str) -> bool:
    """True for what the hub keeps in large-file storage."""
    return name.endswith(".zip")


class Handler(BaseHTTPRequestHandler):
    """Answers for the hub that the server holds."""

    protocol_version = "HTTP/1.1"

    @property
    def hub(self) -> Hub:
        return self.server.hub  # pyright: ignore[reportAttributeAccessIssue]

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self) -> None:
        hub, parts = self.hub, urlsplit(self.path)
        path, query = unquote(parts.path), parse_qs(parts.query)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.asked.append((self.command, path))
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if path.startswith("/large/"):  # an address that was handed out
            hub.large[path.rpartition("/")[2]] = body
            return self._send(200)
        if hub.refuse:
            return self._send(hub.refuse, {"error": "not today"})
        if hub.private and not token:
            return self._send(401, {"error": "Invalid username or password."}, {"X-Error-Code": "RepoNotFound"})
        if NAME not in path:
            return self._send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if self.command == "POST":
            if not token:
                return self._send(401, {"error": "Invalid username or password."})
            if token != WRITER:
                return self._send(403, {"error": "You don't have the rights to push to this repo"})
        what = path.partition(NAME)[2].strip("/").split("/", 2)
        match self.command, what:
            case "GET", [""]:
                return self._send(200, {"id": NAME, "sha": hub.sha, "siblings": []})
            case "GET", ["revision", rev]:
                if rev not in ("main", hub.sha):
                    return self._send(404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"})
                return self._send(200, {"id": NAME, "sha": hub.sha, "siblings": []})
            case "GET", ["tree", rev] if rev == hub.sha:
                return self._tree(int(query.get("cursor", ["0"])[0]))
            case "GET" | "HEAD", ["resolve", rev, name] if rev == hub.sha:
                return self._file(name)
            case "POST", ["preupload", _]:
                return self._preupload(json.loads(body))
            case "POST", ["commit", _]:
                return self._commit([json.loads(line) for line in body.splitlines()])
            case "POST", [".git", "info", _]:
                return self._large(json.loads(body))
        return self._send(404, {"error": f"{self.command} {path} is not of this server"})

    def _tree(self, start: int) -> None:
        entries = self.hub.entries()
        more = start + PAGE < len(entries)
        address = f"{self.hub.url}/api/datasets/{NAME}/tree/{self.hub.sha}?recursive=True&cursor={start + PAGE}"
        self._send(200, entries[start : start + PAGE], {"Link": f'<{address}>; rel="next"'} if more else {})

    def _file(self, name: str) -> None:
        content = self.hub.files.get(name)
        if content is None:
            return self._send(404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound"})
        tag = sha256(content) if is_large(name) else blob(content)
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": self.hub.sha}
        if is_large(name):
            headers |= {"X-Linked-Etag": f'"{tag}"', "X-Linked-Size": str(len(content))}
        return self._send(200, content, headers)

    def _preupload(self, asked: dict[str, Any]) -> None:
        def mode(name: str) -> str:
            return "lfs" if is_large(name) else "regular"

        files = [
            {"path": one["path"], "uploadMode": mode(one["path"]), "shouldIgnore": False} for one in asked["files"]
        ]
        self._send(200, {"files": files})

    def _large(self, asked: dict[str, Any]) -> None:
        def put(one: dict[str, Any]) -> dict[str, Any]:
            return {**one, "actions": {"upload": {"href": f"{self.hub.url}/large/{one['oid']}"}}}

        self._send(200, {"transfer": "basic", "objects": [put(one) for one in asked["objects"]]})

    def _commit(self, lines: list[dict[str, Any]]) -> None:
        hub = self.hub
        if hub.meanwhile:
            hub.commits.append("of somebody else")
        (header,) = [line["value"] for line in lines if line["key"] == "header"]
        if header["parentCommit"] != hub.sha:
            return self._send(412, {"error": "A commit has happened since."})
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                hub.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                hub.files[value["path"]] = hub.large[value["oid"]]
        hub.commits.append(header["summary"])
        return self._send(200, {"commitUrl": f"{hub.url}/datasets/{NAME}/commit/{hub.sha}", "commitOid": hub.sha})

    def _send(self, status: int, content: object = b"", headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub while it answers, at `hub.url`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.hub = hub  # pyright: ignore[reportAttributeAccessIssue]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
