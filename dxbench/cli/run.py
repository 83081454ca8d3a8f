"""`dxbench run`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue
from rich.console import Console

from dxbench import paths
from dxbench.api import Compute, Precision, ResultRecord
from dxbench.cli.common import parse_duration, parse_seeds, say
from dxbench.engine.attempt import RunOptions
from dxbench.engine.lines import duration
from dxbench.engine.parts import UnmetNeed, problem_for, trains_on_data
from dxbench.engine.plan import Cell, measured, plan, plan_row
from dxbench.engine.process import choose_device
from dxbench.engine.spread import ParallelSettings, check_support, machines, outer_rank
from dxbench.engine.stopping import AT_ONCE, LastStopSignals
from dxbench.errors import DxbenchError, ExitCode, Interrupted, MissingData, UsageError, unknown
from dxbench.files.writing import check_writable
from dxbench.launchers import Launch, Launcher, LaunchSettings, Outcome
from dxbench.plugins import registry
from dxbench.plugins.configure import config_class, parse_assignments
from dxbench.plugins.registry import load_method, load_task, shadowed
from dxbench.plugins.rows import RowName
from dxbench.plugins.suites import Suite, load_suite
from dxbench.records.files import record_path, work_folder
from dxbench.sweeps import Sweep
from dxbench.terminal.console import console as console_of
from dxbench.terminal.progress import Ahead, listener_for


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What was typed."""

    task: str | None
    method: str | None
    suite: str | None
    seeds: str | None
    preset: str | None
    assignments: list[str]
    device: str
    devices: int
    accumulate: int
    precision: Precision
    launcher: str
    jobs: int
    timeout: str | None
    results: Path | None
    checkpoint_every: float
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
    cells = plan_cells(request)
    check_support([load_method(cell.method_ref) for cell in cells], spread)
    options = RunOptions(
        home=paths.home(),
        results=request.results or paths.results(),
        device=request.device,
        spread=spread,
        timeout=parse_duration(request.timeout) if request.timeout else None,
        checkpoint_every=request.checkpoint_every,
        fresh=request.fresh or request.again,
    )
    launcher: Launcher = registry.load("launchers", request.launcher)()
    done = {} if request.again else measured(cells, options.results)
    waiting = [cell for cell in cells if cell.run_id not in done]
    if request.dry_run:
        if first:
            _dry_run(cells, done, options, jobs=request.jobs, as_json=request.as_json)
        return int(ExitCode.OK)
    check_writable(options.home, remedy=paths.HOME_REMEDY)
    check_writable(options.results, remedy=paths.RESULTS_REMEDY)
    if warning := shadowed(cells[0].task_ref):
        console.print(f"warning: {warning}")
    for record in done.values():
        console.print(
            f"{record.method} on {record.task}, seed {record.seed}: already measured ({options.results}); "
            "--again measures it anew"
        )
    outcomes: list[Outcome] = []
    with LastStopSignals() as stop:
        try:
            with listener_for(console, Ahead(waiting, seconds={})) as listener:
                launch = Launch(
                    sweep=Sweep(options.home, tuple(cells)),
                    waiting=waiting,
                    seconds={},
                    options=options,
                    settings=LaunchSettings(jobs=request.jobs),
                    listener=listener,
                    stop_requested=stop.requested,
                )
                launcher.check(launch)
                for outcome in launcher.run(launch):
                    listener.settled(outcome.cell, bad=outcome.bad)
                    outcomes.append(outcome)
        except KeyboardInterrupt:
            raise Interrupted(AT_ONCE) from None
    records = {o.record.run_id: o.record for o in outcomes if o.record is not None} | done
    ordered = [records[cell.run_id] for cell in cells if cell.run_id in records]
    if first:
        _show(ordered, cells[0], options, request)
    unfinished = len(ordered) < len(cells)
    return int(ExitCode.INTERRUPTED) if stop.requested() and unfinished else _exit_code(outcomes, ordered, console)


def plan_cells(request: RunRequest) -> list[Cell]:
    """Cells of a suite, or of one method on one task.

    Raises:
        UsageError: for options that do not go together, and all that `plan` raises.
    """
    overrides = parse_assignments(request.assignments)
    if request.suite is not None:
        if request.task or request.method or request.preset:
            raise UsageError("--suite says task, methods and presets itself; leave out --task, --method and --preset")
        return _suite_cells(load_suite(request.suite), request.seeds, overrides, request.precision)
    if request.task is None or request.method is None:
        raise UsageError("give --task and --method, or --suite; `dxbench list methods` shows what there is")
    row = RowName.typed(request.method, preset=request.preset, overrides=overrides, precision=request.precision)
    return plan_row(request.task, row, seeds=parse_seeds(request.seeds or "0"))


def _suite_cells(suite: Suite, seeds: str | None, overrides: dict[str, JsonValue], precision: Precision) -> list[Cell]:
    """Every row over every seed; an override reaches the rows whose method has its key."""
    task = load_task(suite.task)
    kinds = {row.method: config_class(load_method(row.method), task, row.preset) for row in suite.rows}
    keys = {method: set(kind.model_fields) for method, kind in kinds.items()}
    for key in overrides:
        if not any(key in known for known in keys.values()):
            raise unknown(f"key of suite {suite.name}", key, set().union(*keys.values()))
    cells = []
    for row in suite.rows:
        reaching = {key: value for key, value in overrides.items() if key in keys[row.method]}
        cells += plan(
            suite.task,
            row.method,
            preset=row.preset,
            overrides=row.set | reaching,
            seeds=parse_seeds(seeds) if seeds else suite.seeds,
            precision=precision,
        )
    return cells


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What will become of a cell.

    Attributes:
        measured: it has a record already.
        skipped: why it cannot run; "" where it can.
        seconds: what it takes, by finished runs of the configuration on whatever machine; None where there are none.
        like: seconds of the quickest and the slowest run of the method on the task, where there are none of it.
    """

    measured: bool
    skipped: str
    seconds: float | None
    like: tuple[float, float] | None

    def __str__(self) -> str:
        if self.measured:
            return "already measured"
        if self.skipped:
            return "will be skipped, see below"
        if self.seconds is not None:
            return f"about {duration(self.seconds)}"
        if self.like is None:
            return "time unknown"
        return f"time unknown; other runs of the method took {duration(self.like[0])} to {duration(self.like[1])}"


def _dry_run(
    cells: Sequence[Cell], done: dict[str, ResultRecord], options: RunOptions, *, jobs: int, as_json: bool
) -> None:
    """What would be run, what would be skipped and why, and how long it takes."""
    forecasts = _forecasts(cells, done, options)
    if as_json:
        say([_as_json(cell, found) for cell, found in zip(cells, forecasts, strict=True)])
        return
    for cell, found in zip(cells, forecasts, strict=True):
        print(f"{cell.task}  {cell.row}  seed {cell.seed}  {cell.run_id}  {found}")
    for reason in dict.fromkeys(found.skipped for found in forecasts if found.skipped and not found.measured):
        count = sum(found.skipped == reason and not found.measured for found in forecasts)
        print(f"{count} of {len(cells)} cells will be skipped: {reason}")
    left = [found for found in forecasts if not found.measured and not found.skipped]
    known = [found.seconds for found in left if found.seconds is not None]
    unknown_times = f"; of {len(left) - len(known)} the time is unknown" if len(known) < len(left) else ""
    took = f", about {duration(sum(known) / min(jobs, len(known)))} on the machines of the records" if known else ""
    print(f"{len(left)} of {len(cells)} cells to run{took}{unknown_times}")


def _as_json(cell: Cell, found: Forecast) -> dict[str, JsonValue]:
    return {
        "task": cell.task,
        "method": cell.method,
        "preset": cell.preset,
        "overrides": cell.overrides,
        "seed": cell.seed,
        "run_id": cell.run_id,
        "measured": found.measured,
        "skipped": found.skipped or None,
        "expected_seconds": found.seconds,
    }


def _forecasts(cells: Sequence[Cell], done: dict[str, ResultRecord], options: RunOptions) -> list[Forecast]:
    """A forecast per cell; each configuration is looked at once."""
    from dxbench.boards.aggregate import known_seconds
    from dxbench.records.index import open_index

    index = open_index([paths.reference_results(), options.results])
    entries = [entry for task in {cell.task for cell in cells} for entry in index.entries(task)]
    seconds = known_seconds(entries)
    of_method: dict[tuple[str, str], list[float]] = {}
    for key, (task, method) in {entry.config_id: (entry.task, entry.method) for entry in entries}.items():
        if key in seconds:
            of_method.setdefault((task, method), []).append(seconds[key])
    why = {cell.config_id: cell for cell in cells}
    skipped = {key: _why_not(cell, options) for key, cell in why.items()}
    return [
        Forecast(
            measured=cell.run_id in done,
            skipped=skipped[cell.config_id],
            seconds=seconds.get(cell.config_id),
            like=(min(others), max(others)) if (others := of_method.get((cell.task, cell.method))) else None,
        )
        for cell in cells
    ]


def _why_not(cell: Cell, options: RunOptions) -> str:
    """Why a cell would be skipped; "" where nothing is known that keeps it from running."""
    task, method = load_task(cell.task_ref), load_method(cell.method_ref)
    config = config_class(method, task, cell.preset).model_validate(cell.config)
    compute = Compute(device=choose_device(options.device, auto=task.auto_device), threads=task.threads)
    try:
        if task.problem_is_quick:
            problem_for(task, method, config, compute)
        else:
            task.require(training=trains_on_data(method, config))
    except UnmetNeed as reason:
        return str(reason)
    except MissingData as reason:
        return str(reason.fetched_by(cell.prepare))
    return ""


def _show(records: Sequence[ResultRecord], cell: Cell, options: RunOptions, request: RunRequest) -> None:
    from dxbench.boards.render.text import by_metric
    from dxbench.boards.tables import result_beside_published
    from dxbench.records.entries import Entry
    from dxbench.records.index import open_index

    if request.as_json:
        say([record.model_dump(mode="json") for record in records])
        return
    scored = [record for record in records if record.scores]
    if not scored:
        return
    entries = [Entry.of(record, str(record_path(options.results, record))) for record in scored]
    index = open_index([paths.reference_results(), options.results], task=scored[0].task)
    print(by_metric(result_beside_published(index, entries)))
    if not request.report:
        return
    from dxbench.boards.report import write_report

    task = load_task(cell.task_ref)
    for record, entry in zip(scored, entries, strict=True):
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
    if any(record.failure is not None and record.failure.type == "MissingData" for record in bad):
        return int(ExitCode.MISSING_DATA)
    return int(ExitCode.RUN_FAILED if bad else ExitCode.OK)
