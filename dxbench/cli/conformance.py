"""`dxbench check-method` and `check-task`."""

from dataclasses import asdict

from rich.text import Text

from dxbench.api import Compute
from dxbench.cli.common import say
from dxbench.conformance import CheckResult, check_on_task, check_task
from dxbench.engine.process import choose_device, prepare_process
from dxbench.errors import ExitCode, NothingMeasured
from dxbench.plugins.configure import parse_assignments
from dxbench.plugins.registry import load_method, load_task
from dxbench.plugins.rows import RowName
from dxbench.terminal.console import console

STYLES = {"pass": "green", "fail": "bold red", "skipped": "yellow"}


def check_method_command(
    name: str, task: str, *, preset: str | None, assignments: list[str], steps: int, device: str, as_json: bool
) -> int:
    """Print a line per check; exit code 5 where one fails.

    Raises:
        NothingMeasured: if the method could not be trained here, so that nothing was shown.
    """
    row = RowName.typed(name, preset=preset, overrides=parse_assignments(assignments))
    method = load_method(row.method)
    chosen = choose_device(device, auto="cpu")
    prepare_process(Compute(device=chosen, threads=load_task(task).threads))
    results = check_on_task(method, task, preset=row.preset, overrides=dict(row.overrides), steps=steps, device=chosen)
    failed = [result for result in results if result.outcome == "fail"]
    if as_json:
        say({"method": name, "task": task, "ok": not failed, "checks": [asdict(result) for result in results]})
    else:
        _print(f"{name} on {task}", results)
    if failed:
        return int(ExitCode.INVALID)
    training = next(result for result in results if result.name == "training")
    if training.outcome == "skipped":
        raise NothingMeasured(f"{name} was not trained, so hardly anything was checked: {training.found}")
    return int(ExitCode.OK)


def check_task_command(name: str, *, as_json: bool) -> int:
    """Print a line per check; exit code 5 where one fails.

    Raises:
        NothingMeasured: if the task's files are absent, so that hardly anything was shown.
    """
    task = load_task(name)
    prepare_process(Compute(device="cpu", threads=task.threads))
    results = check_task(type(task))
    failed = [result for result in results if result.outcome == "fail"]
    if as_json:
        say({"task": name, "ok": not failed, "checks": [asdict(result) for result in results]})
    else:
        _print(name, results)
    if failed:
        return int(ExitCode.INVALID)
    data = next(result for result in results if result.name == "data")
    if data.outcome == "skipped":
        raise NothingMeasured(f"{name} has no data here, so hardly anything was checked: {data.found}")
    return int(ExitCode.OK)


def _print(what: str, results: list[CheckResult]) -> None:
    out = console(soft_wrap=True)
    for result in results:
        out.print(Text(f"{result.outcome:8}", style=STYLES[result.outcome]) + f"{result.name:14}{result.wants}")
        if result.found:
            out.print(f"{'':22}{'got: ' if result.outcome == 'fail' else ''}{result.found}")
        if result.remedy:
            out.print(f"{'':22}remedy: {result.remedy}")
    count = {outcome: sum(result.outcome == outcome for result in results) for outcome in STYLES}
    out.print(f"{what}: {count['pass']} passed, {count['fail']} failed, {count['skipped']} skipped")
