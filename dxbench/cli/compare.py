"""`dxbench compare`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from dxbench.boards.asking import Comparison, compare_rows
from dxbench.boards.opening import open_records
from dxbench.cli.common import say
from dxbench.errors import ExitCode
from dxbench.plain import plain
from dxbench.plugins.registry import task_name
from dxbench.terminal.console import console, grid

STYLES = {"better": "green", "worse": "red"}


def compare_command(a: str, b: str, *, task: str, alpha: float, folders: Sequence[Path] | None, as_json: bool) -> int:
    """Print what every metric says of A against B; exit 6 where none could be compared.

    Raises:
        UsageError: for a row that is not there.
        NothingMeasured: without a record of the task.
    """
    task = task_name(task)
    with open_records(folders, task=task) as index:
        found = compare_rows(index, a, b, task=task, alpha=alpha)
        if as_json:
            say({"a": found.a, "b": found.b, "alpha": alpha, "metrics": [asdict(one) for one in found.metrics]})
        else:
            _print(found)
    return int(ExitCode.OK if found.comparable else ExitCode.NOT_COMPARABLE)


def _print(found: Comparison) -> None:
    out, alpha = console(), found.alpha
    out.print(f"A = {plain(found.a)}\nB = {plain(found.b)}")
    table = grid()
    for column in ("metric", "A - B", f"{100 * (1 - alpha):g} % interval", "p", "seeds", "A is"):
        table.add_column(column, justify="left" if column in ("metric", "A is") else "right")
    for one in found.metrics:
        style = STYLES.get(one.verdict, "")
        if one.difference is None:
            table.add_row(one.metric, "", "", "", "", one.verdict)
            continue
        interval = f"{one.difference.low:+.4f} to {one.difference.high:+.4f}"
        p_value = "" if one.p_value is None else f"{one.p_value:.3g}"
        seeds = f"{one.seeds[0]} / {one.seeds[1]}"
        table.add_row(one.metric, f"{one.difference.point:+.4f}", interval, p_value, seeds, one.verdict, style=style)
    out.print(table)
    for one in found.metrics:
        for field, (of_a, of_b) in (one.differing or {}).items():
            out.print(f"{one.metric}: {field}: A {of_a!r}, B {of_b!r}")
    out.print(
        f"Welch's t test over training seeds, alpha = {alpha:g}. Intervals and p are adjusted over the metrics "
        "(Bonferroni) and agree: p is below alpha where the interval leaves 0 out.",
        style="dim",
    )
