"""`dxbench prepare`: data and weights of a task, or of one of its runs."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rich.progress import (
    BarColumn,
    DownloadColumn,
    TaskProgressColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from dxbench import paths
from dxbench.api import Task
from dxbench.assets import Asset
from dxbench.assets.prepare import Found, asked_offline, look, prepare
from dxbench.assets.prepare import Progress as Tell
from dxbench.cli.common import say
from dxbench.engine.lines import Pace
from dxbench.engine.parts import needed_files
from dxbench.errors import ExitCode, UsageError, unknown
from dxbench.plugins.configure import configure, parse_assignments
from dxbench.plugins.registry import load_method, load_task
from dxbench.plugins.rows import RowName
from dxbench.terminal.console import bars, console, text_column


def prepare_command(
    task_name: str,
    *,
    method: str | None,
    preset: str | None,
    assignments: list[str],
    only: Sequence[str],
    list_only: bool,
    offline: bool,
    accept_licence: bool,
    as_json: bool,
) -> int:
    """Fetch, make and check what a task or a run needs; exit code 7 where something is missing, 5 where it is damaged.

    Raises:
        UsageError: for an unknown task, method, preset or key, or a name that is none of the files.
    """
    task = load_task(task_name)
    files = _files(task, method, preset, assignments)
    what = task_name if method is None else f"{method} on {task_name}"
    assets = _chosen(task_name, what, files, only)
    if list_only:
        found = [look(asset) for asset in assets]
    else:
        offline = offline or asked_offline()
        with _shown() as tell:
            found = [prepare(asset, offline=offline, accept_licence=accept_licence, progress=tell) for asset in assets]
    if as_json:
        say([_as_json(one) for one in found])
    else:
        _print(what, found)
    if any(one.state == "damaged" for one in found):
        return int(ExitCode.INVALID)
    return int(ExitCode.OK if list_only or all(one.ok for one in found) else ExitCode.MISSING_DATA)


def _files(task: Task, method: str | None, preset: str | None, assignments: list[str]) -> Sequence[Asset]:
    if method is None:
        if preset is not None or assignments:
            raise UsageError("--preset and --set are those of a method; give --method too")
        return task.assets
    row = RowName.typed(method, preset=preset, overrides=parse_assignments(assignments))
    chosen = load_method(row.method)
    config = configure(chosen, task, row.preset, row.overrides)
    return needed_files(task, chosen, config)


def _chosen(task: str, what: str, assets: Sequence[Asset], only: Sequence[str]) -> list[Asset]:
    by_name = {asset.name: asset for asset in assets}
    for name in only:
        if name not in by_name:
            raise unknown(f"file of {what}", name, by_name, remedy=f"See `dxbench prepare --task {task} --list`.")
    return [replace(asset, task=task) for asset in assets if not only or asset.name in only]


@contextmanager
def _shown() -> Iterator[Tell]:
    """Progress on stderr, for files of bytes as for images that are made: a bar, or a line now and then."""
    out = console(stderr=True, soft_wrap=True)
    if not out.is_terminal:
        pace = Pace()

        def say_now_and_then(text: str, done: int, total: int | None) -> None:
            if pace.due(text):
                out.print(f"{text}{pace.far(done, total)}")

        yield say_now_and_then
        return
    columns = (
        text_column("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with bars(*columns, to=out) as bar:
        line = bar.add_task("", total=None)

        def tell(text: str, done: int, total: int | None) -> None:
            bar.update(line, description=text, completed=done, total=total)

        yield tell


def _as_json(found: Found) -> dict[str, object]:
    asset = found.asset
    return {
        "name": asset.name,
        "title": asset.title,
        "kind": asset.kind,
        "state": found.state,
        "note": found.note,
        "path": str(asset.target),
        "licence": asset.licence,
        "size": asset.size,
        "amount": asset.amount,
        "digest": asset.digest,
    }


def _print(what: str, found: Sequence[Found]) -> None:
    out = console(soft_wrap=True)
    if not found:
        out.print(f"{what} needs no files")
        return
    out.print(f"{what}: files under {paths.data().resolve()} ({paths.chosen_by('DXBENCH_DATA')})")
    for one in found:
        mark = Text(f"{one.state:>8}", style="green" if one.ok else "red")
        out.print(mark + f"  {one.asset.name}: {one.asset.title} ({one.asset.kind}, {one.asset.amount})")
        out.print(f"          licence: {one.asset.licence}")
        out.print(f"          {one.note}")
