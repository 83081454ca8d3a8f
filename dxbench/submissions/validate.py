"""Is a bundle to be believed? Everything in it is data: nothing of it is imported, run or unpickled."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dxbench.api import ResultRecord, Task
from dxbench.errors import InvalidFile, MissingData
from dxbench.plugins import registry
from dxbench.plugins.registry import load_task
from dxbench.records.files import Unreadable, parse_record, record_text
from dxbench.submissions.agreement import Known, agreement_defects, known_defects, manifest_defects
from dxbench.submissions.archive import Archive, npy_limit
from dxbench.submissions.claims import PACK, record_defects
from dxbench.submissions.defects import Defect
from dxbench.submissions.evidence import Copies, Rechecked, Shape, read_samples, recheck, recheck_defects
from dxbench.submissions.manifest import (
    MANIFEST,
    Manifest,
    RunEntry,
    SampleCommitment,
    parse_manifest,
    record_member,
    samples_member,
    sha256,
)
from dxbench.submissions.trust import OnTrust, on_trust

INSTALL = "Install the package that has it, or give its file with --task path/to/file.py:Class."


@dataclass(kw_only=True)
class Report:
    """The findings of validation.

    Attributes:
        records: those that could be read.
        rechecked: claims held against the samples shown.
        on_trust: what is believed because the sender says so.
    """

    manifest: Manifest | None = None
    records: list[ResultRecord] = field(default_factory=list)
    defects: list[Defect] = field(default_factory=list)
    rechecked: list[Rechecked] = field(default_factory=list)
    on_trust: list[OnTrust] = field(default_factory=list)

    @property
    def valid(self) -> bool:
        return not self.defects


def validate(path: Path, *, results: Path, task: Task | None = None, progress: Callable[[str], None]) -> Report:
    """Every defect of a bundle, on its own and against the records in `results`.

    Args:
        task: what the reader takes its task to be, if that is not installed. A bundle loads no file by itself.

    Raises:
        MissingData: if there is no such file.
    """
    report = Report()
    progress("reading")
    with _noting(report, "bundle"), Archive(path) as archive:
        report.defects += archive.defects
        with _noting(report, MANIFEST):
            text = archive.read_text(MANIFEST)
            report.manifest = parse_manifest(text)
            runs = _readable(report, report.manifest, archive)
            if runs:
                # What is no bundle at all is refused before torch and the task are loaded.
                _judge(report, report.manifest, runs, sha256(text), archive, results, task, progress)
    return report


@contextmanager
def _noting(report: Report, where: str) -> Iterator[None]:
    """Turn what cannot be read into a defect."""
    try:
        yield
    except InvalidFile as error:
        report.defects.append(Defect(where=where, problem=str(error), remedy=PACK))


def _readable(report: Report, manifest: Manifest, archive: Archive) -> list[tuple[RunEntry, ResultRecord]]:
    """Runs with a record that can be read."""
    report.defects += [*manifest_defects(manifest), *_strays(archive, manifest)]
    runs = {run.run_id: run for run in manifest.runs}.values()
    found = [(run, record) for run in runs if (record := _record(report, archive, run)) is not None]
    report.records += [record for _, record in found]
    return found


def _judge(
    report: Report,
    manifest: Manifest,
    runs: Sequence[tuple[RunEntry, ResultRecord]],
    manifest_sha256: str,
    archive: Archive,
    results: Path,
    given: Task | None,
    progress: Callable[[str], None],
) -> None:
    """Holds records and samples against the task, the method, each other and what is there already."""
    task, shape = _task(report, manifest, given)
    known, copies = None, Copies()
    with _noting(report, str(results)):
        known = Known.of(results, manifest.task)
    for entry, record in runs:
        report.defects += record_defects(record, entry, manifest, task)
        if task is None:
            continue
        shown, defects = read_samples(archive, entry, record, manifest_sha256=manifest_sha256, task=task, shape=shape)
        report.defects += defects
        if shown is not None:
            report.defects += copies.look(shown, known.sketches if known else {})
            rechecked, defects = recheck(record, shown, task, progress=progress)
            report.rechecked += rechecked
            report.defects += defects
    report.defects += recheck_defects(report.rechecked)
    report.defects += agreement_defects(report.records)
    if known is not None:
        report.defects += known_defects(report.records, known)
    known_nfe = known is not None and manifest.config_id in known.nfe
    report.on_trust += on_trust(report.records, report.rechecked, known_nfe=known_nfe)


def _task(report: Report, manifest: Manifest, given: Task | None) -> tuple[Task | None, Shape | None]:
    """The task and its samples: the reader's own, or by its registered name; a bundle's name must load no file."""
    known = registry.plugins("tasks")
    own = given is not None and given.name == manifest.task
    if own or manifest.task in known:
        try:
            task = given if own and given is not None else load_task(manifest.task)
            return task, Shape.of(task)
        except MissingData as error:
            report.defects.append(Defect(where=f"{MANIFEST}: task", problem=str(error), remedy="Prepare its data."))
            return None, None
    absent = f"{manifest.task!r} is no task here, which has {', '.join(sorted(known))}"
    report.defects.append(Defect(where=f"{MANIFEST}: task", problem=absent, remedy=INSTALL))
    return None, None


def _strays(archive: Archive, manifest: Manifest) -> Iterator[Defect]:
    """Members that the manifest does not name. Raises InvalidFile for one larger than the manifest can mean."""
    expected = {MANIFEST}
    for run in manifest.runs:
        expected.add(record_member(run.run_id))
        if run.samples is not None:
            expected.add(samples_member(run.run_id))
            archive.require_size(samples_member(run.run_id), at_most=_all_samples(run.samples))
    for name in sorted(archive.names - expected):
        yield Defect(where=name, problem="not named in the manifest", remedy=PACK)


def _all_samples(commitment: SampleCommitment) -> int:
    """The most bytes that its samples can have."""
    return npy_limit(commitment.dtype, (commitment.count, *commitment.event_shape))


def _record(report: Report, archive: Archive, entry: RunEntry) -> ResultRecord | None:
    """The record of a run, its bytes being those the manifest commits to."""
    where = record_member(entry.run_id)
    with _noting(report, where):
        text = archive.read_text(where)
        if sha256(text) != entry.record_sha256:
            raise InvalidFile(f"sha256 is {sha256(text)}, the manifest says {entry.record_sha256}: changed afterwards")
        record = parse_record(text, path=Path(where))
        if isinstance(record, Unreadable):
            raise InvalidFile(record.reason)
        if record_text(record).encode() != text:
            raise InvalidFile("not as dxbench writes records: a number of another type, a field twice or another order")
        return record
    return None
