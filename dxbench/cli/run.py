"""`dxbench run`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue
from rich.console import Console

from dxbench import paths, registry
from dxbench.api import Precision, ResultRecord
from dxbench.cli.common import parse_duration, parse_seeds, say
from dxbench.cli.progress import listener_for
from dxbench.configure import DEFAULT_PRESET, config_class, parse_assignments
from dxbench.engine.cell import RunOptions
from dxbench.engine.launchers import Outcome
from dxbench.engine.plan import Cell, plan
from dxbench.engine.spread import Spread, check_support, outer_rank
from dxbench.engine.stopping import StopSignals
from dxbench.errors import DxbenchError, ExitCode, Interrupted, UsageError, unknown
from dxbench.records import check_writable, read_record, record_path, work_folder
from dxbench.registry import load_method
from dxbench.suites import Suite, load_suite


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
    spread = Spread(devices=request.devices, accumulate=request.accumulate, precision=request.precision)
    first = not outer_rank(spread)
    console = Console(stderr=True, quiet=not first)
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
    launcher = registry.load("launchers", request.launcher)
    done = {} if request.again else _already_measured(cells, options.results)
    waiting = [cell for cell in cells if cell.run_id not in done]
    if request.dry_run:
        return _dry_run(cells, done, options, as_json=request.as_json)
    check_writable(options.results)
    for record in done.values():
        console.print(
            f"{record.method} on {record.task}, seed {record.seed}: already measured ({options.results}); "
            "--again measures it anew",
            highlight=False,
        )
    with StopSignals() as stop, listener_for(console) as listener:
        outcomes = list(launcher(waiting, options, jobs=request.jobs, listener=listener, stop_requested=stop.requested))
    records = {o.record.run_id: o.record for o in outcomes if o.record is not None} | done
    ordered = [records[cell.run_id] for cell in cells if cell.run_id in records]
    if first:
        _show(ordered, options, request)
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
    seeds = parse_seeds(request.seeds or "0")
    return plan(
        request.task,
        request.method,
        preset=request.preset or DEFAULT_PRESET,
        overrides=overrides,
        seeds=seeds,
        precision=request.precision,
    )


def _suite_cells(suite: Suite, seeds: str | None, overrides: dict[str, JsonValue], precision: Precision) -> list[Cell]:
    """Every row over every seed; an override reaches the rows whose method has its key."""
    kinds = {row.method: config_class(load_method(row.method), suite.task, row.preset) for row in suite.rows}
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


def _already_measured(cells: Sequence[Cell], results: Path) -> dict[str, ResultRecord]:
    done = {}
    for cell in cells:
        path = results / cell.task / cell.method / f"{cell.run_id}.json"
        record = read_record(path) if path.is_file() else None
        if isinstance(record, ResultRecord) and record.status == "ok":
            done[cell.run_id] = record
    return done


def _dry_run(cells: Sequence[Cell], done: dict[str, ResultRecord], options: RunOptions, *, as_json: bool) -> int:
    """What would be run. Seconds are those of a finished run of the same configuration, where one is known."""
    from dxbench.boards.aggregate import known_seconds
    from dxbench.boards.index import open_index

    index = open_index([paths.reference_results(), options.results])
    seconds = known_seconds(entry for task in {cell.task for cell in cells} for entry in index.entries(task))
    rows = [
        {
            "task": cell.task,
            "method": cell.method,
            "preset": cell.preset,
            "overrides": cell.overrides,
            "seed": cell.seed,
            "run_id": cell.run_id,
            "measured": cell.run_id in done,
            "expected_seconds": seconds.get(cell.config_id),
        }
        for cell in cells
    ]
    if as_json:
        say(rows)
        return int(ExitCode.OK)
    for cell in cells:
        expected = seconds.get(cell.config_id)
        cost = "already measured" if cell.run_id in done else f"about {expected:.0f} s" if expected else "cost unknown"
        changes = " ".join(f"{key}={value}" for key, value in cell.overrides.items())
        print(f"{cell.task}  {cell.method}  [{cell.preset}] {changes}  seed {cell.seed}  {cell.run_id}  {cost}")
    left = [cell for cell in cells if cell.run_id not in done]
    total = sum(seconds.get(cell.config_id) or 0.0 for cell in left)
    print(f"{len(left)} of {len(cells)} cells to run, about {total / 60:.0f} min where the cost is known")
    return int(ExitCode.OK)


def _show(records: Sequence[ResultRecord], options: RunOptions, request: RunRequest) -> None:
    from dxbench.boards.entries import Entry
    from dxbench.boards.index import open_index
    from dxbench.boards.render.text import by_metric
    from dxbench.boards.tables import result_beside_published

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

    for record, entry in zip(scored, entries, strict=True):
        folder = work_folder(options.home, task=record.task, method=record.method, run_id=record.run_id)
        if (folder / "arrays.npz").is_file():
            path = write_report(record, folder, table=result_beside_published(index, [entry]))
            print(f"report: {path.resolve()}")


def _exit_code(outcomes: Sequence[Outcome], records: Sequence[ResultRecord], console: Console) -> int:
    """The most urgent end of all cells."""
    errors: list[DxbenchError] = [outcome.error for outcome in outcomes if outcome.error is not None]
    for outcome in outcomes:
        if outcome.error is not None and not isinstance(outcome.error, Interrupted):
            console.print(f"dxbench: {outcome.error}", highlight=False, markup=False, soft_wrap=True)
    if any(isinstance(error, Interrupted) for error in errors):
        return int(ExitCode.INTERRUPTED)
    if errors:
        return int(errors[0].exit_code)
    bad = [record for record in records if record.status not in ("ok", "partial")]
    if any(record.failure is not None and record.failure.type == "MissingData" for record in bad):
        return int(ExitCode.MISSING_DATA)
    return int(ExitCode.RUN_FAILED if bad else ExitCode.OK)
