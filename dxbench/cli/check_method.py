"""`dxbench check-method`."""

from dataclasses import asdict

from rich.text import Text

from dxbench.api import Compute
from dxbench.cli.common import say
from dxbench.conformance.kit import CheckResult, check_on_task
from dxbench.engine.process import choose_device, prepare_process
from dxbench.errors import ExitCode, NothingMeasured
from dxbench.plugins.configure import parse_assignments
from dxbench.plugins.registry import load_method, load_task
from dxbench.terminal.console import console

STYLES = {"pass": "green", "fail": "bold red", "skipped": "yellow"}


def check_method_command(
    name: str, task: str, *, preset: str, assignments: list[str], steps: int, device: str, as_json: bool
) -> int:
    """Print a line per check; exit code 5 where one fails.

    Raises:
        NothingMeasured: if the method could not be trained here, so that nothing was shown.
    """
    method = load_method(name)
    chosen = choose_device(device, auto="cpu")
    prepare_process(Compute(device=chosen, threads=load_task(task).threads))
    overrides = parse_assignments(assignments)
    results = check_on_task(method, task, preset=preset, overrides=overrides, steps=steps, device=chosen)
    failed = [result for result in results if result.outcome == "fail"]
    if as_json:
        say({"method": name, "task": task, "ok": not failed, "checks": [asdict(result) for result in results]})
    else:
        _print(name, task, results)
    if failed:
        return int(ExitCode.INVALID)
    training = next(result for result in results if result.name == "training")
    if training.outcome == "skipped":
        raise NothingMeasured(f"{name} was not trained, so hardly anything was checked: {training.found}")
    return int(ExitCode.OK)


def _print(name: str, task: str, results: list[CheckResult]) -> None:
    out = console(soft_wrap=True)
    for result in results:
        out.print(Text(f"{result.outcome:8}", style=STYLES[result.outcome]) + f"{result.name:13}{result.wants}")
        if result.found:
            out.print(f"{'':21}{'got: ' if result.outcome == 'fail' else ''}{result.found}")
        if result.remedy:
            out.print(f"{'':21}remedy: {result.remedy}")
    count = {outcome: sum(result.outcome == outcome for result in results) for outcome in STYLES}
    out.print(f"{name} on {task}: {count['pass']} passed, {count['fail']} failed, {count['skipped']} skipped")
