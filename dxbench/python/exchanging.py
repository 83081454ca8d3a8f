"""Records to and from a repository of results."""

from collections.abc import Sequence
from pathlib import Path

from dxbench import paths
from dxbench.exchange import pulling, pushing
from dxbench.exchange.layout import Chosen
from dxbench.exchange.moved import Moved
from dxbench.exchange.remote import Remote
from dxbench.exchange.remotes import remote_of
from dxbench.features.sources import silent


def push(
    remote: str | Remote,
    *,
    task: str | None = None,
    method: str | None = None,
    bundles: Sequence[str | Path] = (),
    branch: str | None = None,
    results: str | Path | None = None,
    everything: bool = False,
    dry_run: bool = False,
) -> Moved:
    """Add records to a repository of results, as `dxbench push` does; what is there is never written over.

    >>> import subprocess, tempfile, dxbench
    >>> board = tempfile.mkdtemp()
    >>> done = subprocess.run(["git", "init", "--quiet", "--bare", board])
    >>> from dxbench.paths import reference_results
    >>> own = reference_results()
    >>> moved = dxbench.push(board, task="gaussians8", method="data", results=own, dry_run=True)
    >>> len(moved.records), len(moved.same)
    (5, 0)

    Args:
        remote: a URL or path that git understands, `hf://datasets/OWNER/NAME`, or an object of `dxbench.exchange`.
        task: of the records that go; default all.
        method: likewise.
        bundles: paths of bundles of `dxbench submit`, which go in place of records.
        branch: of a remote that is given by its address; default its own.
        results: the folder of the records; default DXBENCH_RESULTS.
        everything: configurations of which no run has a number too, such as those that failed.
        dry_run: move nothing, and say what would be.

    Raises:
        NothingMeasured: without a record to push, or none of a configuration that has a number.
        InvalidFile: after pushing the others, if a file is no record or the remote has a run with other content; for a
            bundle with a defect, before anything.
        UsageError: for a wrong address, or where what the remote needs is not installed.
        RemoteRefused: if the remote cannot be reached, or does not take it.
    """
    place = remote_of(remote, branch=branch) if isinstance(remote, str) else remote
    if bundles:
        moved = pushing.push_bundles(place, [Path(one) for one in bundles], dry_run=dry_run, progress=silent)
    else:
        folder, chosen = Path(results or paths.results()), Chosen(task=task, method=method)
        moved = pushing.push(place, folder, chosen=chosen, everything=everything, dry_run=dry_run, progress=silent)
    moved.refuse_problems()
    return moved


def pull(
    remote: str | Remote,
    *,
    task: str | None = None,
    method: str | None = None,
    bundles: bool = False,
    branch: str | None = None,
    results: str | Path | None = None,
    dry_run: bool = False,
) -> Moved:
    """Add the records of a repository of results to a folder, as `dxbench pull` does; nothing is written over.

    >>> import subprocess, tempfile, dxbench
    >>> board = tempfile.mkdtemp()
    >>> done = subprocess.run(["git", "init", "--quiet", "--bare", board])
    >>> dxbench.pull(board, dry_run=True)
    Traceback (most recent call last):
    dxbench.errors.UsageError: ... is empty; `dxbench push` puts records there

    Args:
        remote: a URL or path that git understands, `hf://datasets/OWNER/NAME`, or an object of `dxbench.exchange`.
        task: of the records that are wanted; default all.
        method: likewise.
        bundles: validate its bundles too, and merge the records of those that are sound.
        branch: of a remote that is given by its address; default its own.
        results: the folder that they go to; default DXBENCH_RESULTS.
        dry_run: write nothing, and say what would be.

    Raises:
        NothingMeasured: if the remote has no such record.
        InvalidFile: after taking the others, if a file is no sound record or bundle, or a run is here with other
            content.
        UsageError: for a wrong address or branch, or where what the remote needs is not installed.
        RemoteRefused: if the remote cannot be reached, or does not let us read.
    """
    place = remote_of(remote, branch=branch) if isinstance(remote, str) else remote
    folder, chosen = Path(results or paths.results()), Chosen(task=task, method=method)
    moved = pulling.pull(place, folder, chosen=chosen, bundles=bundles, dry_run=dry_run, progress=silent)
    moved.refuse_problems()
    return moved
