"""`dxbench submit`, `validate` and `merge`."""

from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from dxbench import paths
from dxbench.api import ResultRecord
from dxbench.boards.compare import select
from dxbench.boards.entries import Entry
from dxbench.cli.common import open_records, say
from dxbench.errors import ExitCode, NothingMeasured
from dxbench.submissions.merge import merge
from dxbench.submissions.pack import pack
from dxbench.submissions.validate import Report, validate


def submit_command(task: str, method: str, *, out: Path | None, records: Path | None, as_json: bool) -> int:
    """Pack every seed of one configuration of your own runs.

    Raises:
        NothingMeasured: without a record of the task.
        UsageError: for a row that is not there.
    """
    own = _own_runs(records, task, method)
    chosen = next(iter(select(own, method).by_seed.values()))
    seeds = [entry.record() for entry in own if entry.config_id == chosen.config_id]
    bundle = out or Path(f"{chosen.task}-{chosen.method}-{chosen.config_id}.zip")
    with Console(stderr=True).status("packing") as status:
        report = pack(seeds, bundle, home=paths.home(), results=paths.reference_results(), progress=status.update)
    if as_json:
        say({"written": str(bundle) if report.valid else None, **_as_json(bundle, report)})
    else:
        _print(report)
        print(f"written: {bundle}" if report.valid else "nothing written")
    return _exit_code(report)


def _own_runs(records: Path | None, task: str, method: str) -> list[Entry]:
    folder = records or paths.results()
    own: list[Entry] = []
    if records is not None or folder.is_dir():
        with open_records([folder], task=task) as index:
            own = index.entries(task)
    if not own:
        remedy = f"`dxbench run --task {task} --method {method}` makes one"
        raise NothingMeasured(f"no record of task {task!r} in {folder}; {remedy}")
    return own


def validate_command(bundle: Path, *, results: Path | None, as_json: bool) -> int:
    """Print every defect; exit code 5 where there is one."""
    with Console(stderr=True).status("reading") as status:
        report = validate(bundle, results=results or paths.reference_results(), progress=status.update)
    if as_json:
        say(_as_json(bundle, report))
    else:
        _print(report)
        print(f"{bundle}: {'valid' if report.valid else f'{len(report.defects)} defects'}")
    return _exit_code(report)


def merge_command(bundle: Path, *, results: Path, as_json: bool) -> int:
    """Put the records of a valid bundle among the results; exit code 5 for one that is not."""
    with Console(stderr=True).status("reading") as status:
        report, placed = merge(bundle, results, progress=status.update)
    if as_json:
        say({"merged": [str(path) for path in placed], **_as_json(bundle, report)})
    else:
        _print(report)
        for path in placed:
            print(f"merged: {path}")
        if not placed:
            print(f"{bundle}: {len(report.defects)} defects, nothing merged")
    return _exit_code(report)


def _exit_code(report: Report) -> int:
    return int(ExitCode.OK if report.valid else ExitCode.INVALID)


def _as_json(bundle: Path, report: Report) -> dict[str, object]:
    return {
        "bundle": str(bundle),
        "valid": report.valid,
        "runs": [record.run_id for record in report.records],
        "defects": [asdict(defect) for defect in report.defects],
        "rechecked": [asdict(one) | {"holds": one.holds} for one in report.rechecked],
        "taken_on_trust": report.taken_on_trust,
    }


def _print(report: Report) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    if report.manifest is not None:
        manifest = report.manifest
        console.print(
            f"{manifest.method} {manifest.method_version} on {manifest.task} {manifest.task_version}, "
            f"configuration {manifest.config_id}, NFE {manifest.nfe}, {_endings(report.records)}"
        )
    for one in report.rechecked:
        verdict = "confirmed" if one.holds else "REFUTED"
        console.print(
            f"{verdict:10} {one.run_id}  {one.metric:16} claims {one.claimed:.4f}, "
            f"samples give {one.measured:.4f}, allowing {one.range}"
        )
    if report.taken_on_trust:
        console.print(f"on trust   {', '.join(report.taken_on_trust)}: not to be rechecked from samples")
    for defect in report.defects:
        console.print(f"DEFECT     {_plain(defect.where)}: {_plain(defect.problem)}")
        console.print(f"           {defect.remedy}")


def _endings(records: list[ResultRecord]) -> str:
    statuses = [record.status for record in records]
    return f"{len(records)} runs: " + ", ".join(f"{statuses.count(s)} {s}" for s in sorted(set(statuses)))


def _plain(text: str) -> str:
    """Text of a stranger's without control characters, which could rewrite the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
