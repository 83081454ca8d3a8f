"""`dxbench run`."""

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from dxbench import paths
from dxbench.api import Precision, ResultRecord, Task
from dxbench.cli.common import parse_duration, say
from dxbench.cli.dry_run import dry_run
from dxbench.engine.attempt import RunOptions
from dxbench.engine.execution import Compiling
from dxbench.engine.listener import SILENT
from dxbench.engine.plan import Cell
from dxbench.engine.provenance import command_line
from dxbench.engine.spread import ParallelSettings, check_support, machines, outer_rank
from dxbench.engine.stopping import AT_ONCE, LastStopSignals
from dxbench.engine.tracking import check_trackers
from dxbench.errors import DxbenchError, ExitCode, Interrupted, UsageError
from dxbench.files.writing import check_writable
from dxbench.launchers.contract import Launch, Launcher, LaunchSettings, Outcome
from dxbench.plain import counted
from dxbench.plugins import registry
from dxbench.plugins.registry import load_method, load_task, shadowed
from dxbench.records.entries import Entry, why_unmeasured
from dxbench.records.files import record_path, work_folder
from dxbench.records.index import RecordIndex, open_index
from dxbench.sweeps.asked import Asked
from dxbench.sweeps.forecast import expected_seconds
from dxbench.sweeps.planning import Block, plan_blocks, read_blocks
from dxbench.sweeps.state import LaunchNote, done
from dxbench.sweeps.sweep import Sweep, read_plan
from dxbench.terminal.console import console as console_of
from dxbench.terminal.progress import Ahead, listener_for

_NAMED = 20
"""Cells that are named one by one; of more they are counted."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """The request as it was typed."""

    task: str | None
    method: str | None
    suite: str | None
    sweep: Path | None
    cells: str | None
    seeds: str | None
    preset: str | None
    assignments: list[str]
    device: str
    devices: int
    accumulate: int
    precision: Precision
    launcher: str
    settings: LaunchSettings
    timeout: str | None
    results: Path | None
    checkpoint_every: float
    trackers: tuple[str, ...]
    compiling: Compiling
    again: bool
    fresh: bool
    dry_run: bool
    report: bool
    as_json: bool


def run_command(request: RunRequest) -> int:
    """Plan, run what has no record yet, show what came out.

    Of several processes that torchrun or SLURM started, the first one speaks.
    """
    spread = ParallelSettings(
        devices=request.devices, machines=machines(), accumulate=request.accumulate, precision=request.precision
    )
    first = not outer_rank(spread)
    console = console_of(stderr=True, quiet=not first, soft_wrap=True)
    options = RunOptions(
        home=paths.home(),
        results=request.results or paths.results(),
        device=request.device,
        spread=spread,
        timeout=parse_duration(request.timeout) if request.timeout else None,
        checkpoint_every=request.checkpoint_every,
        trackers=request.trackers,
        compiling=request.compiling,
        fresh=request.fresh or request.again,
    )
    check_trackers(options.trackers)
    sweep, notes = planned(request, options.home)
    for note in notes:
        console.print(f"note: {note}")
    check_support([load_method(cell.method_ref) for cell in sweep.cells], spread)
    launcher: Launcher = registry.load("launchers", request.launcher)()
    measured = done([cell for cell in sweep.cells if cell.part == "start" or not request.again], options)
    launch = Launch(
        sweep=sweep,
        waiting=[cell for cell in _needed(sweep.cells, measured) if cell.run_id not in measured],
        seconds=expected_seconds(sweep.cells, options) if len(sweep.cells) > 1 or request.dry_run else {},
        options=options,
        settings=request.settings,
        again=request.again,
        listener=SILENT,
        stop_requested=lambda: False,
    )
    launcher.check(launch)
    if request.dry_run:
        if first:
            dry_run(launch, measured, preview=launcher.preview(launch), as_json=request.as_json)
        return int(ExitCode.OK)
    check_writable(options.home, remedy=paths.HOME_REMEDY)
    check_writable(options.results, remedy=paths.RESULTS_REMEDY)
    for warning in filter(None, map(shadowed, dict.fromkeys(cell.task_ref for cell in sweep.cells))):
        console.print(f"warning: {warning}")
    records = {key: record for key, record in measured.items() if isinstance(record, ResultRecord)}
    _say_measured(list(records.values()), options, console)
    several = request.cells is None and len(sweep.cells) > 1
    if first and launch.waiting and (several or request.launcher != "local"):
        _announce(sweep, request.launcher, options, console)
    outcomes, stopped = _launched(launcher, launch, console)
    records = {o.record.run_id: o.record for o in outcomes if o.record is not None} | records
    runs = [cell for cell in sweep.cells if cell.part == "run"]
    ordered = [records[cell.run_id] for cell in runs if cell.run_id in records]
    if first and (request.cells is None or request.as_json):  # a part is one of many
        _show(ordered, sweep.cells, options, request)
    unfinished = len(ordered) < len(runs)
    return int(ExitCode.INTERRUPTED) if stopped and unfinished else _exit_code(outcomes, ordered, console)


def planned(request: RunRequest, home: Path) -> tuple[Sweep, Sequence[str]]:
    """The sweep that is asked for, or the part of one, and what is to be said of the plan.

    Raises:
        UsageError: for options that do not go together, and all that `plan_blocks` and `read_plan` raise.
    """
    named = request.task or request.method or request.suite or request.preset or request.seeds
    if request.cells is not None:
        if named or request.sweep or request.assignments:
            raise UsageError(
                "--cells names cells of a plan, whose rows and seeds are in it; leave out what names others"
            )
        file, which = _file_and_cells(request.cells)
        return Sweep(file.parent, tuple(cell.again() for cell in read_plan(file, which))), ()
    if request.sweep is not None:
        if named or request.assignments:
            raise UsageError("--sweep FILE says tasks, methods and seeds itself; leave out what names others")
        blocks = read_blocks(request.sweep)
    else:
        blocks = [
            Block(
                task=request.task,
                method=request.method,
                suite=request.suite,
                seed=request.seeds or "",
                preset=request.preset,
                set=request.assignments,
                precision=request.precision,
            )
        ]
    plan = plan_blocks(blocks)
    return Sweep.planned(home, plan.cells), plan.notes


def _file_and_cells(text: str) -> tuple[Path, str]:
    """The file and the choice of "FILE[0:10]", or all of FILE."""
    match = re.fullmatch(r"(?P<file>.+?)(\[(?P<which>[\d:, ]*)\])?", text, re.DOTALL)
    if match is None:
        raise UsageError(f"--cells takes FILE or FILE[0:10], got {text!r}")
    return Path(match["file"]), match["which"] or ":"


def _needed(cells: Sequence[Cell], measured: Container[str]) -> list[Cell]:
    """The cells without the starts that only measured ones need; who asks for a start alone gets it."""
    all_needs = {cell.needs for cell in cells}
    needs = {cell.needs for cell in cells if cell.run_id not in measured}
    return [cell for cell in cells if cell.part == "run" or cell.run_id in needs or cell.run_id not in all_needs]


def _say_measured(records: Sequence[ResultRecord], options: RunOptions, console: Console) -> None:
    if len(records) > _NAMED:
        console.print(f"{len(records)} cells are already measured ({options.results}); --again measures them anew")
        return
    for record in records:
        console.print(
            f"{record.method} on {record.task}, seed {record.seed}: already measured ({options.results}); "
            "--again measures it anew"
        )


def _announce(sweep: Sweep, launcher: str, options: RunOptions, console: Console) -> None:
    """Write the plan, and that it is launched here and now."""
    sweep.write()
    sweep.cancelled.unlink(missing_ok=True)
    LaunchNote.of_now(launcher, options.results, command_line()).write(sweep.folder)
    runs = sum(cell.part == "run" for cell in sweep.cells)
    console.print(
        f"sweep {sweep.id}: {counted(runs, 'cell')}; `dxbench status {sweep.id}` shows how they are, from anywhere"
    )


def _launched(launcher: Launcher, launch: Launch, console: Console) -> tuple[list[Outcome], bool]:
    """The outcomes of a launch, and whether it was to stop before its end.

    Raises:
        Interrupted: if a second Ctrl-C ended it at once.
    """
    with LastStopSignals() as stop:
        asked = Asked(stop.requested, launch.sweep.cancelled)
        try:
            outcomes: list[Outcome] = []
            with listener_for(console, Ahead(launch.waiting, seconds=launch.seconds)) as listener:
                for outcome in launcher.run(replace(launch, listener=listener, stop_requested=asked)):
                    listener.settled(outcome.cell, bad=outcome.bad)
                    outcomes.append(outcome)
        except KeyboardInterrupt:
            raise Interrupted(AT_ONCE) from None
        return outcomes, asked()


def _show(records: Sequence[ResultRecord], cells: Sequence[Cell], options: RunOptions, request: RunRequest) -> None:
    from dxbench.boards.render.text import by_metric
    from dxbench.boards.tables import result_beside_published

    if request.as_json:
        say([record.model_dump(mode="json") for record in records])
        return
    for cell in {cell.task: cell for cell in cells}.values():
        scored = [record for record in records if record.scores and record.task == cell.task]
        if not scored:
            continue
        entries = [Entry.of(record, str(record_path(options.results, record))) for record in scored]
        index = open_index([paths.reference_results(), options.results], task=cell.task)
        print(by_metric(result_beside_published(index, entries)))
        if request.report and request.cells is None:
            _report(scored, entries, index, load_task(cell.task_ref), options)


def _report(
    records: Sequence[ResultRecord], entries: Sequence[Entry], index: RecordIndex, task: Task, options: RunOptions
) -> None:
    """A report of each run that left its arrays here."""
    from dxbench.boards.report import write_report
    from dxbench.boards.tables import result_beside_published

    for record, entry in zip(records, entries, strict=True):
        folder = work_folder(options.home, task=record.task, method=record.method, run_id=record.run_id)
        if (folder / "arrays.npz").is_file():
            path = write_report(record, folder, task=task, table=result_beside_published(index, [entry]))
            print(f"report: {path.resolve()}")


def _exit_code(outcomes: Sequence[Outcome], records: Sequence[ResultRecord], console: Console) -> int:
    """The most urgent end of all cells."""
    errors: list[DxbenchError] = [outcome.error for outcome in outcomes if outcome.error is not None]
    for outcome in outcomes:
        if outcome.error is not None and not isinstance(outcome.error, Interrupted):
            console.print(f"dxbench: {outcome.error}")
    if any(isinstance(error, Interrupted) for error in errors):
        return int(ExitCode.INTERRUPTED)
    if errors:
        return int(errors[0].exit_code)
    bad = [record for record in records if record.status not in ("ok", "partial")]
    if failed := [record.run_id for record in bad if record.status == "failed"]:
        console.print(f"dxbench: `dxbench logs {failed[0]}` prints the whole traceback")
    if any(record.failure is not None and record.failure.type == "MissingData" for record in bad):
        return int(ExitCode.MISSING_DATA)
    silent = [record for record in records if record.status == "ok" and not record.scores]
    for record in silent:
        run = f"{record.method} on {record.task}, seed {record.seed}"
        console.print(f"dxbench: {run}: nothing was measured: {why_unmeasured(record)}; choose another method")
    return int(ExitCode.RUN_FAILED if bad else ExitCode.NOT_COMPARABLE if silent else ExitCode.OK)
