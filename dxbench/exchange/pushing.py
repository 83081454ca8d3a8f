"""One's own records, or bundles, to a remote, in one commit. Nothing that is there is written over."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from dxbench import paths
from dxbench.api import ResultRecord
from dxbench.assets.asset import file_digest
from dxbench.errors import InvalidFile, NothingMeasured
from dxbench.exchange.layout import Chosen, Layout, bundle_name, is_record_name
from dxbench.exchange.moved import Moved, conflict, differing, endings
from dxbench.exchange.remote import Progress, Remote
from dxbench.exchange.staging import Staging
from dxbench.plain import counted
from dxbench.records.files import Unreadable, config_id_of, stored_text
from dxbench.records.index import list_records, read_placed
from dxbench.records.parts import PART_LIMIT, is_sound, part_texts
from dxbench.records.pictures import picture_paths, read_picture
from dxbench.submissions.validate import validate

ALL = Chosen()
_REMEDY = "measure the run anew, or ask who keeps the remote to remove theirs"


def push(
    remote: Remote,
    results: Path,
    *,
    chosen: Chosen = ALL,
    everything: bool = False,
    dry_run: bool = False,
    progress: Progress,
) -> Moved:
    """Add records, with the protocols and cards that they name and the pictures beside them, to a remote.

    Runs of a configuration of which none has a number stay. Where some has, a run that failed goes with it: without it
    a row of the seeds that worked would rank.

    A file that is no sound record, and a run that is there with other content, stays where it is and is among the
    problems of the outcome; the others go, in one commit. A second time makes none.

    Args:
        results: the folder of records.
        chosen: the records that are to go.
        everything: those of configurations without a number too.
        dry_run: say what would be done.

    Raises:
        NothingMeasured: without a record that is to go.
        UsageError: if the remote lacks what it needs.
        RemoteRefused: if the remote cannot be reached, or does not take it.
    """
    own, problems = _own(results, chosen)
    left = {} if everything else _without_number(own)
    own = {name: record for name, record in own.items() if name not in left}
    if not own and not problems:
        if left:
            raise NothingMeasured(
                f"no record{chosen} in {results} has a number ({endings(left)}); --all pushes them all the same"
            )
        raise NothingMeasured(
            f"no record{chosen} in {results}; `dxbench run` makes one, and --results names another folder"
        )
    with remote.open(progress=progress) as snapshot, TemporaryDirectory(prefix="dxbench-push-") as folder:
        staging = Staging(folder=Path(folder), snapshot=snapshot, progress=progress)
        new, same, conflicts = _compare(own, staging, results)
        going = [own[name] for name in [*new, *same]]
        files: dict[str, bytes | Path] = dict(_missing_parts(going, staging))
        pictures, damaged = _missing_pictures(going, results, staging)
        files |= pictures
        files |= {name: stored_text(own[name]).encode() for name in new}
        revision = ""
        if files and not dry_run:
            revision = snapshot.add(files, _message(new, "record"), progress=progress)
        return Moved(
            place=snapshot.place,
            revision=revision,
            records=new,
            pictures=list(pictures),
            same=same,
            left=left,
            problems=[*problems, *conflicts, *damaged],
        )


def push_bundles(remote: Remote, bundles: Sequence[Path], *, dry_run: bool = False, progress: Progress) -> Moved:
    """Add bundles of `dxbench submit` to a remote, after validating them as whoever receives them will.

    Raises:
        MissingData: if there is no such bundle.
        InvalidFile: if one has a defect; then none goes.
        UsageError: if the remote lacks what it needs.
        RemoteRefused: if the remote cannot be reached, or does not take it.
    """
    named = {_name_of_sound(bundle, progress): bundle for bundle in bundles}
    with remote.open(progress=progress) as snapshot:
        new = {name: bundle for name, bundle in named.items() if name not in snapshot.files}
        revision = ""
        if new and not dry_run:
            revision = snapshot.add(new, _message(list(new), "bundle"), progress=progress)
        same = [name for name in named if name not in new]
        return Moved(place=snapshot.place, revision=revision, bundles=list(new), same=same)


def _own(results: Path, chosen: Chosen) -> tuple[dict[str, ResultRecord], list[Unreadable]]:
    """Records that are to go, by name, and what cannot go."""
    listing = list_records(results)
    own: dict[str, ResultRecord] = {}
    problems = list(listing.problems)
    for file in listing.files:
        task, method, _ = file.name.split("/")
        if chosen.has(task, method):
            record = read_placed(results, file.name)
            if isinstance(record, Unreadable):
                problems.append(record)
            elif not is_record_name(file.name):
                problems.append(Unreadable(path=results / file.name, reason="names in a repository are words of ASCII"))
            else:
                own[file.name] = record
    return own, problems


def _compare(
    own: dict[str, ResultRecord], staging: Staging, results: Path
) -> tuple[list[str], list[str], list[Unreadable]]:
    """The names of records that the remote has not, of those it has, and those it has otherwise."""
    there = staging.snapshot.files
    other = [name for name in own if name in there and not there[name].holds(stored_text(own[name]).encode())]
    staging.bring_records(other, Layout.of(there, ALL), known=results)
    conflicts = {}
    for name in other:
        theirs = staging.record(name)
        if isinstance(theirs, Unreadable):
            reason = f"its place there has no readable record ({theirs.reason}); ask who keeps it to remove that"
            conflicts[name] = Unreadable(path=Path(name), reason=reason)
        elif fields := differing(own[name], theirs):
            conflicts[name] = Unreadable(path=Path(name), reason=conflict(fields, remedy=_REMEDY))
    new = [name for name in own if name not in there]
    same = [name for name in own if name in there and name not in conflicts]
    return new, same, list(conflicts.values())


def _missing_parts(records: Sequence[ResultRecord], staging: Staging) -> Iterator[tuple[str, bytes]]:
    """The protocols and cards of records that the remote has not, or not as their names say."""
    wanted = {place: text.encode() for record in records for place, text in part_texts(record).items()}
    there = staging.snapshot.files
    doubtful = [name for name in wanted if name in there and not there[name].holds(wanted[name])]
    staging.bring([name for name in doubtful if not (staging.folder / name).exists()], limit=PART_LIMIT)
    for name, text in wanted.items():
        if name not in there or (name in doubtful and not is_sound(staging.folder, name)):
            yield name, text


def _missing_pictures(
    records: Sequence[ResultRecord], results: Path, staging: Staging
) -> tuple[dict[str, bytes], list[Unreadable]]:
    """The pictures of records that the remote has not, by name, and those that are none."""
    there, found, damaged = staging.snapshot.files, dict[str, bytes](), list[Unreadable]()
    for record in records:
        for path in picture_paths(results, record):
            name = str(path.relative_to(results))
            if name not in there:
                try:
                    tile = read_picture(path, record)
                except (InvalidFile, OSError) as error:
                    damaged.append(Unreadable(path=path, reason=str(error)))
                else:
                    found |= {} if tile is None else {name: tile.png}
    return found, damaged


def _without_number(own: Mapping[str, ResultRecord]) -> dict[str, str]:
    """Records of configurations of which no run has a number: how each ended."""
    numbered = {(record.task, config_id_of(record)) for record in own.values() if record.scores}
    return {
        name: "ok, nothing measured" if record.status == "ok" else record.status
        for name, record in own.items()
        if (record.task, config_id_of(record)) not in numbered
    }


def _name_of_sound(bundle: Path, progress: Progress) -> str:
    report = validate(bundle, results=paths.reference_results(), progress=progress)
    if not report.valid or report.manifest is None:
        found = counted(len(report.defects), "defect")
        raise InvalidFile(f"{bundle} has {found}, and nothing was pushed; `dxbench validate` tells all of it")
    sha256 = file_digest(bundle).removeprefix("sha256:")
    return bundle_name(report.manifest.task, report.manifest.method, sha256)


def _message(names: Sequence[str], what: str) -> str:
    """The message of a commit."""
    if not names:
        return "Add what records name, and their pictures"
    tasks = sorted({name.removeprefix("bundles/").partition("/")[0] for name in names})
    return f"Add {counted(len(names), what)} of {', '.join(tasks)}"
