"""`dxbench leaderboard build` and `serve`."""

import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from dxbench import paths
from dxbench.boards.site.build import Built, build_site
from dxbench.boards.site.run_pages import NoPictures, PictureSource
from dxbench.cli.common import open_records, say, warn
from dxbench.errors import ExitCode, InvalidFile, UsageError

_HOST = "127.0.0.1"


def build_command(*, out: Path, folders: Sequence[Path] | None, pictures: bool, as_json: bool) -> int:
    """Write the site into a folder.

    Raises:
        UsageError: for a folder that holds something else.
        NothingMeasured: without any record.
        InvalidFile: after writing what can be shown, if a file among the records is none.
    """
    with open_records(folders) as index:
        built = build_site(index, out, pictures=_pictures(pictures))
        if as_json:
            say(asdict(built) | {"folder": str(built.folder), "index": str(built.folder / "index.html")})
        else:
            print(f"{_summary(built)}\n{built.folder / 'index.html'}")
    return int(ExitCode.OK)


def serve_command(*, port: int, folders: Sequence[Path] | None, pictures: bool) -> int:
    """Build into a folder that goes away again, and serve it to this machine until Ctrl-C.

    Raises:
        UsageError: if the port is taken.
    """
    with tempfile.TemporaryDirectory(prefix="dxbench-site-") as folder:
        site = Path(folder) / "site"
        try:
            with open_records(folders) as index:
                built = build_site(index, site, pictures=_pictures(pictures))
        except InvalidFile as error:
            if not site.is_dir():
                raise
            warn(str(error))
        else:
            print(_summary(built), flush=True)
        try:
            server = ThreadingHTTPServer((_HOST, port), partial(_Quiet, directory=str(site)))
        except OSError as error:
            raise UsageError(f"port {port}: {error.strerror or error}; choose another with --port") from None
        # A shell that starts a command in the background has it ignore SIGINT, which Python then does, too.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with server, suppress(KeyboardInterrupt):
            print(f"http://{_HOST}:{server.server_address[1]}/  (Ctrl-C ends it)", flush=True)
            server.serve_forever()
    return int(ExitCode.OK)


def _pictures(wanted: bool) -> PictureSource:
    if not wanted:
        return NoPictures()
    from dxbench.boards.site.pictures import KeptPictures

    return KeptPictures(paths.home())


def _summary(built: Built) -> str:
    pictures = f" and {built.picture_bytes / 1e6:.1f} MB of pictures" if built.picture_bytes else ""
    return f"{built.tasks} tasks, {built.methods} methods, {built.runs} runs; {built.bytes / 1e6:.2f} MB{pictures}"


class _Quiet(SimpleHTTPRequestHandler):
    """Files of the site, without a line per request."""

    def log_message(self, format: str, *args: object) -> None:
        return
