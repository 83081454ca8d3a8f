"""`dxbench submit`, `validate` and `merge`."""

import re
from dataclasses import asdict
from pathlib import Path

from dxbench import paths
from dxbench.api import ResultRecord, Task
from dxbench.boards.compare import select
from dxbench.boards.opening import open_records, row_name
from dxbench.cli.common import say
from dxbench.errors import ExitCode, NothingMeasured
from dxbench.plain import counted, plain
from dxbench.plugins.registry import load_method, load_task, task_name
from dxbench.records.entries import Entry
from dxbench.submissions.merge import merge
from dxbench.submissions.pack import pack
from dxbench.submissions.validate import Report, validate
from dxbench.terminal.console import console, status


def submit_command(task: str, method: str, *, out: Path | None, records: Path | None, as_json: bool) -> int:
    """Pack every seed of one configuration of your own runs.

    Raises:
        NothingMeasured: without a record of the task.
        UsageError: for a row that is not there.
    """
    row = row_name(method)
    own = _own_runs(records, task, row)
    chosen = next(iter(select(own, row).by_seed.values()))
    seeds = [entry.record() for entry in own if entry.config_id == chosen.config_id]
    bundle = out or Path(f"{chosen.task}-{chosen.method}-{chosen.config_id}.zip")
    with status("packing") as tell:
        report = pack(
            seeds,
            bundle,
            task=load_task(task),
            home=paths.home(),
            results=paths.reference_results(),
            progress=tell,
        )
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
        name = task_name(task)
        with open_records([folder], task=name) as index:
            own = index.entries(name)
    if not own:
        load_task(task)  # a wrong name is said to be one
        if not re.fullmatch("[0-9a-f]{10}", method):
            load_method(re.split(r"[:\[]", method)[0])
        remedy = f"`dxbench run --task {task} --method {method}` makes one"
        raise NothingMeasured(f"no record of task {task!r} in {folder}; {remedy}")
    return own


def validate_command(bundle: Path, *, task: str | None, results: Path | None, as_json: bool) -> int:
    """Print every defect; exit code 5 where there is one."""
    with status("reading") as tell:
        report = validate(bundle, results=results or paths.reference_results(), task=_given(task), progress=tell)
    if as_json:
        say(_as_json(bundle, report))
    else:
        _print(report)
        print(f"{bundle}: {'valid' if report.valid else counted(len(report.defects), 'defect')}")
    return _exit_code(report)


def merge_command(bundle: Path, *, task: str | None, results: Path, as_json: bool) -> int:
    """Put the records of a valid bundle among the results; exit code 5 for one that is not."""
    with status("reading") as tell:
        report, placed = merge(bundle, results, task=_given(task), progress=tell)
    if as_json:
        say({"merged": [str(path) for path in placed], **_as_json(bundle, report)})
    else:
        _print(report)
        for path in placed:
            print(f"merged: {path}")
        if not placed:
            print(f"{bundle}: {counted(len(report.defects), 'defect')}, nothing merged")
    return _exit_code(report)


def _given(task: str | None) -> Task | None:
    return None if task is None else load_task(task)


def _exit_code(report: Report) -> int:
    return int(ExitCode.OK if report.valid else ExitCode.INVALID)


def _as_json(bundle: Path, report: Report) -> dict[str, object]:
    return {
        "bundle": str(bundle),
        "valid": report.valid,
        "runs": [record.run_id for record in report.records],
        "defects": [asdict(defect) for defect in report.defects],
        "rechecked": [asdict(one) | {"holds": one.holds} for one in report.rechecked],
        "on_trust": [asdict(one) for one in report.on_trust],
    }


def _print(report: Report) -> None:
    out = console(soft_wrap=True)
    if report.manifest is not None:
        manifest = report.manifest
        nfe = "" if manifest.nfe is None else f"NFE {manifest.nfe:g}, "
        out.print(
            f"{manifest.method} {manifest.method_version} on {manifest.task} {manifest.task_version}, "
            f"configuration {manifest.config_id}, {nfe}{_endings(report.records)}"
        )
    for one in report.rechecked:
        verdict = "REFUTED" if not one.holds else "computed" if one.exact else "possible"
        out.print(
            f"{verdict:10} {one.run_id}  {one.metric:16} claims {one.claimed:.4f}, "
            f"{'all' if one.exact else 'some'} samples give {one.measured:.4f}, allowing {one.range}"
        )
    for one in report.on_trust:
        out.print(f"on trust   {plain(one.what)}: {plain(one.why)}")
    for defect in report.defects:
        out.print(f"DEFECT     {plain(defect.where)}: {plain(defect.problem)}")
        out.print(f"           {defect.remedy}")


def _endings(records: list[ResultRecord]) -> str:
    statuses = [record.status for record in records]
    return f"{counted(len(records), 'run')}: " + ", ".join(f"{statuses.count(s)} {s}" for s in sorted(set(statuses)))
