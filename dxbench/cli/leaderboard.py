"""`dxbench leaderboard build`, `serve` and `export`."""

import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from dxbench import paths
from dxbench.boards.export import cost_pictures, export_files, pictured
from dxbench.boards.opening import open_records
from dxbench.boards.site.build import Built, build_site
from dxbench.boards.site.pictures import KeptPictures, NoPictures, PicturesBeside, PictureSource
from dxbench.cli.common import say, warn
from dxbench.cli.server import SiteServer
from dxbench.errors import ExitCode, Interrupted, InvalidFile, UsageError
from dxbench.files.writing import write_named
from dxbench.plain import counted

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


def export_command(
    folder: Path, *, pages: Sequence[Path], folders: Sequence[Path] | None, check: bool, as_json: bool
) -> int:
    """Write the tables, or with `check` look whether they are what the records give; exit code 5 if not.

    Raises:
        UsageError: for a page that is not there.
        InvalidFile: for a page without a place for a table, or if a file among the records is none.
    """
    for page in pages:
        if not page.is_file():
            raise UsageError(f"no page {page} to put tables into; check the path behind --page")
    with open_records(folders or [paths.reference_results()]) as index:
        texts = export_files(index, folder, pages=pages)
        drawn = {path for path, _, _ in pictured(index, folder)}
        stale = [path for path, text in texts.items() if not path.is_file() or path.read_text("utf-8") != text]
        stale += sorted(path for path in drawn if not path.is_file())
        if not check:
            for path, text in texts.items():
                write_named(path, text)
            for path, picture in cost_pictures(index, folder):
                write_named(path, picture)
    left_over = sorted(path for path in folder.rglob("*") if path.is_file() and path not in {*texts, *drawn})
    if as_json:
        say({"files": sorted(map(str, {*texts, *drawn})), **_as_texts(stale=stale, left_over=left_over)})
    else:
        for path in stale:
            print(f"{path} is not what the records give" if check else path)
        for path in left_over:
            warn(f"{path} is no table of these records; remove it")
    return int(ExitCode.INVALID if check and (stale or left_over) else ExitCode.OK)


def _as_texts(**paths_of: Sequence[Path]) -> dict[str, list[str]]:
    return {key: list(map(str, paths)) for key, paths in paths_of.items()}


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
    return PicturesBeside(KeptPictures(paths.home(), results=paths.results())) if wanted else NoPictures()


def _summary(built: Built) -> str:
    pictures = f" and {built.picture_bytes / 1e6:.1f} MB of pictures" if built.picture_bytes else ""
    counts = {"task": built.tasks, "method": built.methods, "run": built.runs}
    what = ", ".join(counted(count, word) for word, count in counts.items())
    return f"pages of {what}; {built.bytes / 1e6:.2f} MB{pictures}"
