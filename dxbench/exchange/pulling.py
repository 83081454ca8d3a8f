"""Records of a remote among one's own.

Everything is fetched into a folder that is thrown away, and read there as any stranger's; what lands is written anew by
dxbench.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from filelock import FileLock

from dxbench import paths
from dxbench.api import ResultRecord
from dxbench.assets.asset import file_digest
from dxbench.errors import InvalidFile, NothingMeasured, UsageError
from dxbench.exchange.layout import Chosen, Layout, is_record_name
from dxbench.exchange.moved import Moved, conflict, differing
from dxbench.exchange.remote import Progress, Remote
from dxbench.exchange.staging import Staging, holding
from dxbench.files.writing import check_writable
from dxbench.pictures.tiles import TILE_LIMIT
from dxbench.records.files import RECORD_LIMIT, Unreadable, record_path
from dxbench.records.index import list_records, read_placed
from dxbench.records.pictures import read_picture, write_tiles
from dxbench.submissions.merge import LOCK, merge, place
from dxbench.submissions.validate import Report

BUNDLE_LIMIT = 4 * 2**30
"""Bytes of a bundle, as `dxbench.submissions` reads them."""
_REMEDY = "remove the one that is wrong, or mark it by `dxbench records withdraw`"
_SHOWN = 3
"""Defects of a bundle that a line names."""
ALL = Chosen()


def pull(
    remote: Remote,
    results: Path,
    *,
    chosen: Chosen = ALL,
    bundles: bool = False,
    dry_run: bool = False,
    progress: Progress,
) -> Moved:
    """Add a remote's records to a folder of records. What is there already is never written over.

    A file that is no sound record, and a run that is here with other content, stays where it is and is among the
    problems of the outcome; the others land, all of them or none. A second time finds nothing to do.

    Args:
        results: the folder of records.
        chosen: the records and bundles that are wanted.
        bundles: validate the bundles of the remote too, and merge the records of those that are sound.
        dry_run: say what would be done. Records are read and judged, bundles only listed.

    Raises:
        NothingMeasured: if the remote has no record that is chosen.
        UsageError: if the remote has no such branch, or lacks what it needs; if `results` cannot be written.
        RemoteRefused: if the remote cannot be read.
    """
    if not dry_run:
        check_writable(results, remedy=paths.RESULTS_REMEDY)
    with remote.open(progress=progress) as snapshot, TemporaryDirectory(prefix="dxbench-pull-") as folder:
        if snapshot.absent:
            raise UsageError(snapshot.absent)
        layout = Layout.of(snapshot.files, chosen)
        if not (layout.records or layout.bundles or layout.problems):
            raise NothingMeasured(f"{snapshot.place} has no record{chosen}; `dxbench push` puts some there")
        staging = Staging(folder=Path(folder), snapshot=snapshot, progress=progress)
        found = _Found(problems=list(layout.problems))
        if bundles:
            _merge_bundles(layout, staging, results, found, dry_run=dry_run)
        _look_at_records(layout, staging, results, found)
        if not dry_run and found.records:
            with FileLock(results / LOCK):
                place(found.records, results)
        pictures = _bring_pictures(layout, staging, results, found, dry_run=dry_run)
        return Moved(
            place=snapshot.place,
            records=[str(record_path(Path(), record)) for record in found.records],
            bundles=found.bundles,
            pictures=pictures,
            same=found.same,
            problems=found.problems,
        )


@dataclass(frozen=True, kw_only=True)
class _Found:
    """The state of affairs so far; `records` are new here."""

    records: list[ResultRecord] = field(default_factory=list)
    bundles: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    problems: list[Unreadable] = field(default_factory=list)

    def refuse(self, name: str, reason: str) -> None:
        self.problems.append(Unreadable(path=Path(name), reason=reason))


def _look_at_records(layout: Layout, staging: Staging, results: Path, found: _Found) -> None:
    """Sort the remote's records into new ones, those that are here, and those that cannot be taken."""
    own = {file.name: read_placed(results, file.name) for file in list_records(results).files}
    wanted = []
    for name in layout.records:
        content = holding(results / name, RECORD_LIMIT) if isinstance(own.get(name), ResultRecord) else None
        if content is not None and staging.snapshot.files[name].holds(content):
            found.same.append(name)
        else:
            wanted.append(name)
    staging.bring_records(wanted, layout, known=results)
    for number, name in enumerate(wanted, 1):
        staging.progress(f"reading record {number} of {len(wanted)}")
        theirs, ours = staging.record(name), own.get(name)
        if isinstance(theirs, Unreadable):
            found.problems.append(theirs)
        elif ours is None:
            found.records.append(theirs)
        elif isinstance(ours, Unreadable):
            found.refuse(name, f"its place here has no readable record ({ours.reason}); remove that and pull again")
        elif fields := differing(ours, theirs):
            found.refuse(name, conflict(fields, remedy=_REMEDY))
        else:
            found.same.append(name)


def _bring_pictures(layout: Layout, staging: Staging, results: Path, found: _Found, *, dry_run: bool) -> list[str]:
    """Pictures of records that came or were here, read as a stranger's and written anew where there is none."""
    records = {str(record_path(Path(), record)): record for record in found.records}
    for name in found.same:
        if name in layout.pictures and isinstance(ours := read_placed(results, name), ResultRecord):
            records[name] = ours
    wanted = {
        picture: record
        for name, record in records.items()
        for picture in layout.pictures.get(name, ())
        if not (results / picture).exists()
    }
    if dry_run:
        return list(wanted)
    staging.bring(wanted, limit=TILE_LIMIT)
    brought = []
    for picture, record in wanted.items():
        if problem := staging.problems.get(picture):
            found.problems.append(problem)
            continue
        try:
            tile = read_picture(staging.folder / picture, record)
        except InvalidFile as error:
            found.refuse(picture, str(error))
        else:
            if tile is not None:
                write_tiles(results, record, [tile])
                brought.append(picture)
    return brought


def _merge_bundles(layout: Layout, staging: Staging, results: Path, found: _Found, *, dry_run: bool) -> None:
    """Validate the bundles that were not merged before, and merge those that are sound."""
    for number, name in enumerate(layout.bundles, 1):
        _, task, method, file = name.split("/")
        sha256 = file.removesuffix(".zip")
        if sha256 in _merged(results, task, method):
            found.same.append(name)
            continue
        if dry_run:
            found.bundles.append(name)
            continue
        staging.progress(f"fetching bundle {number} of {len(layout.bundles)}")
        staging.bring([name], limit=BUNDLE_LIMIT)
        if problem := staging.problems.get(name):
            found.problems.append(problem)
        elif file_digest(staging.folder / name) != f"sha256:{sha256}":
            found.refuse(name, "its content has another sha256 than its name says; get it anew from who packed it")
        else:
            _merge_one(name, staging, results, found)
            (staging.folder / name).unlink()


def _merge_one(name: str, staging: Staging, results: Path, found: _Found) -> None:
    _, task, method, _ = name.split("/")
    report, placed = merge(staging.folder / name, results, progress=staging.progress)
    if placed:
        found.bundles.append(name)
    elif report.records and all(_is_here(record, results) for record in report.records):
        found.same.append(name)
    else:
        found.refuse(name, f"no sound bundle of {method} on {task}: {_defects(report)}; nothing of it was merged")


def _merged(results: Path, task: str, method: str) -> set[str]:
    """The digests of the bundles that records of a method came in."""
    files = [file for file in list_records(results, task=task).files if file.name.split("/")[1] == method]
    records = (read_placed(results, file.name) for file in files)
    return {one.submission.bundle_sha256 for one in records if isinstance(one, ResultRecord) and one.submission}


def _is_here(record: ResultRecord, results: Path) -> bool:
    name = str(record_path(Path(), record))
    ours = read_placed(results, name) if is_record_name(name) else None
    return isinstance(ours, ResultRecord) and not differing(ours, record)


def _defects(report: Report) -> str:
    said: Sequence[str] = [f"{defect.where}: {defect.problem}" for defect in report.defects]
    more = f"; and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    return "; ".join(said[:_SHOWN]) + more
