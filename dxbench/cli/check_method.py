"""`dxbench check-method`."""

from dataclasses import asdict

from rich.console import Console
from rich.markup import escape

from dxbench.api import Compute
from dxbench.cli.common import say
from dxbench.configure import parse_assignments
from dxbench.conformance.kit import CheckResult, check_on_task
from dxbench.engine.process import choose_device, prepare_process
from dxbench.errors import ExitCode, NothingMeasured
from dxbench.registry import load_method, load_task

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
    console = Console(highlight=False, soft_wrap=True)
    for result in results:
        style = STYLES[result.outcome]
        console.print(f"[{style}]{result.outcome:8}[/{style}]{result.name:13}{escape(result.wants)}")
        if result.found:
            console.print(f"{'':21}{'got: ' if result.outcome == 'fail' else ''}{escape(result.found)}")
        if result.remedy:
            console.print(f"{'':21}remedy: {escape(result.remedy)}")
    count = {outcome: sum(result.outcome == outcome for result in results) for outcome in STYLES}
    console.print(
        f"{escape(name)} on {escape(task)}: {count['pass']} passed, {count['fail']} failed, {count['skipped']} skipped"
    )
