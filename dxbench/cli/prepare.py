"""`dxbench prepare`: data and weights of a task."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from dxbench import paths
from dxbench.assets import Asset
from dxbench.assets.prepare import Found, look, prepare
from dxbench.assets.prepare import Progress as Tell
from dxbench.cli.common import say
from dxbench.errors import ExitCode, unknown
from dxbench.registry import load_task


def prepare_command(
    task_name: str, *, only: Sequence[str], list_only: bool, offline: bool, accept_licence: bool, as_json: bool
) -> int:
    """Fetch, make and check what a task needs; exit code 7 where something is still missing, 5 where it is damaged.

    Raises:
        UsageError: for an unknown task, or a name that is none of its files.
    """
    task = load_task(task_name)
    assets = _chosen(task_name, task.assets, only)
    if list_only:
        found = [look(asset) for asset in assets]
    else:
        offline = offline or bool(os.environ.get("DXBENCH_OFFLINE"))
        with _shown() as tell:
            found = [prepare(asset, offline=offline, accept_licence=accept_licence, progress=tell) for asset in assets]
    if as_json:
        say([_as_json(one) for one in found])
    else:
        _print(task_name, found)
    if any(one.state == "damaged" for one in found):
        return int(ExitCode.INVALID)
    return int(ExitCode.OK if list_only or all(one.ok for one in found) else ExitCode.MISSING_DATA)


def _chosen(task: str, assets: Sequence[Asset], only: Sequence[str]) -> list[Asset]:
    by_name = {asset.name: asset for asset in assets}
    for name in only:
        if name not in by_name:
            raise unknown(f"file of task {task}", name, by_name)
    return [replace(asset, task=task) for asset in assets if not only or asset.name in only]


@contextmanager
def _shown() -> Iterator[Tell]:
    """A bar on stderr, for files of bytes as for images that are made."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
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
        "digest": asset.digest,
    }


def _print(task: str, found: Sequence[Found]) -> None:
    console = Console(highlight=False)
    if not found:
        console.print(f"{task} needs no files")
        return
    console.print(f"{task}: files under {paths.data().resolve()} (DXBENCH_DATA)", markup=False, soft_wrap=True)
    for one in found:
        size = f", {one.asset.size / 1e6:,.0f} MB" if one.asset.size else ""
        style = "green" if one.ok else "red"
        console.print(f"[{style}]{one.state:>8}[/{style}]", end="  ")
        console.print(f"{one.asset.name}: {one.asset.title} ({one.asset.kind}{size})", markup=False, soft_wrap=True)
        console.print(f"          licence: {one.asset.licence}", markup=False, soft_wrap=True)
        console.print(f"          {one.note}", markup=False, soft_wrap=True)
