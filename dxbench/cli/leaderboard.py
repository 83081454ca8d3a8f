"""`dxbench leaderboard build` and `serve`."""

import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from dxbench import paths
from dxbench.boards.opening import open_records
from dxbench.boards.site.build import Built, build_site
from dxbench.boards.site.run_pages import NoPictures, PictureSource
from dxbench.cli.common import say, warn
from dxbench.cli.server import SiteServer
from dxbench.errors import ExitCode, Interrupted, InvalidFile

_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def build_command(*, out: Path, folders: Sequence[Path] | None, pictures: bool, as_json: bool) -> int:
    """Write the site into a folder.

    Raises:
        UsageError: for a folder that holds something else.
        NothingMeasured: without any record.
        InvalidFile: after writing what can be shown, if a file among the records is none.
    """
    with _ended_by_signals(), open_records(folders) as index:
        built = build_site(index, out, pictures=_pictures(pictures))
        if as_json:
            say(asdict(built) | {"folder": str(built.folder), "index": str(built.folder / "index.html")})
        else:
            print(f"{_summary(built)}\n{built.folder / 'index.html'}")
    return int(ExitCode.OK)


def serve_command(*, port: int, folders: Sequence[Path] | None, pictures: bool) -> int:
    """Build into a folder that goes away again, and serve it to this machine until Ctrl-C, SIGTERM or SIGHUP.

    Raises:
        UsageError: if the port is taken.
    """
    with _ended_by_signals(), tempfile.TemporaryDirectory(prefix="dxbench-site-") as folder:
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
        with SiteServer(site, port) as server, suppress(KeyboardInterrupt):
            print(f"{server.address}  (Ctrl-C ends it)", flush=True)
            server.serve_forever()
    return int(ExitCode.OK)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Signals that end a process are KeyboardInterrupt here, so that no folder that is to go away stays behind.

    Raises:
        Interrupted: in place of what was not caught.
    """

    def end(number: int, _: object) -> NoReturn:
        for one in _ENDS:
            signal.signal(one, signal.SIG_IGN)  # what follows is short, and not to be cut off
        raise KeyboardInterrupt(signal.Signals(number).name)

    # A shell that starts a command in the background has it ignore SIGINT, and nohup SIGHUP; the latter is meant.
    before = {one: signal.getsignal(one) for one in _ENDS}
    for one in _ENDS:
        if one != signal.SIGHUP or before[one] != signal.SIG_IGN:
            signal.signal(one, end)
    try:
        yield
    except KeyboardInterrupt as ended:
        raise Interrupted(f"ended by {ended}; nothing was written") from None
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _pictures(wanted: bool) -> PictureSource:
    if not wanted:
        return NoPictures()
    from dxbench.boards.site.pictures import KeptPictures

    return KeptPictures(paths.home())


def _summary(built: Built) -> str:
    pictures = f" and {built.picture_bytes / 1e6:.1f} MB of pictures" if built.picture_bytes else ""
    return f"{built.tasks} tasks, {built.methods} methods, {built.runs} runs; {built.bytes / 1e6:.2f} MB{pictures}"
