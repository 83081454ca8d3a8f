"""`dxbench push` and `pull`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dxbench import paths
from dxbench.boards.opening import check_folder
from dxbench.cli.common import say
from dxbench.errors import ExitCode, UsageError
from dxbench.exchange.layout import Chosen
from dxbench.exchange.moved import Moved, endings
from dxbench.exchange.pulling import pull
from dxbench.exchange.pushing import push, push_bundles
from dxbench.exchange.remotes import remote_of
from dxbench.plain import counted, plain
from dxbench.terminal.console import status


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The options that both commands have."""

    remote: str
    branch: str | None
    results: Path | None
    chosen: Chosen
    dry_run: bool
    as_json: bool

    @property
    def folder(self) -> Path:
        """The folder of records."""
        folder = self.results or paths.results()
        check_folder(folder)
        return folder


def push_command(asked: Asked, bundles: Sequence[Path], *, everything: bool) -> int:
    """Push records or bundles, and say what moved.

    Raises:
        UsageError: for a wrong address; for records chosen where bundles go.
        InvalidFile: at the end, naming what was left where it is.
    """
    if bundles and (asked.chosen != Chosen() or asked.results is not None or everything):
        raise UsageError("--bundle pushes bundles and no records; leave --task, --method and --results out, and --all")
    remote = remote_of(asked.remote, branch=asked.branch)
    with status("looking") as tell:
        if bundles:
            moved = push_bundles(remote, bundles, dry_run=asked.dry_run, progress=tell)
        else:
            options = {"everything": everything, "dry_run": asked.dry_run}
            moved = push(remote, asked.folder, chosen=asked.chosen, progress=tell, **options)
    return _tell("pushed" if not asked.dry_run else "would push", "to", moved, asked)


def pull_command(asked: Asked, *, bundles: bool) -> int:
    """Pull records, and with `bundles` merge those that are sound, and say what moved.

    Raises:
        UsageError: for a wrong address or branch.
        InvalidFile: at the end, naming what was left where it is.
    """
    remote = remote_of(asked.remote, branch=asked.branch)
    with status("looking") as tell:
        moved = pull(remote, asked.folder, chosen=asked.chosen, bundles=bundles, dry_run=asked.dry_run, progress=tell)
    return _tell("pulled" if not asked.dry_run else "would pull", "from", moved, asked)


def _tell(verb: str, preposition: str, moved: Moved, asked: Asked) -> int:
    if asked.as_json:
        say(
            {
                "place": moved.place,
                "revision": moved.revision or None,
                "dry_run": asked.dry_run,
                "records": list(moved.records),
                "bundles": list(moved.bundles),
                "pictures": list(moved.pictures),
                "same": list(moved.same),
                "left": dict(moved.left),
                "problems": {str(problem.path): problem.reason for problem in moved.problems},
            }
        )
    else:
        print(f"{verb} {_summary(moved)} {preposition} {moved.place}; {len(moved.same)} were there already")
        for task, count in sorted(Counter(name.partition("/")[0] for name in moved.records).items()):
            print(f"  {plain(task)}: {counted(count, 'record')}")
        for name in moved.bundles:
            print(f"  {plain(name)}")
        if moved.revision:
            print(f"commit {moved.revision}")
        if moved.left:
            why = f"no run of the configuration has a number: {endings(moved.left)}"
            print(f"left here, for {why}; --all pushes them too")
    moved.refuse_problems()
    return int(ExitCode.OK)


def _summary(moved: Moved) -> str:
    counts = {"record": len(moved.records), "bundle": len(moved.bundles), "picture": len(moved.pictures)}
    return " and ".join(counted(count, word) for word, count in counts.items() if count) or "nothing"
