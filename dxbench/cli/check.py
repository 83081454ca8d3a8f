"""`dxbench check`."""

import os
import sys
from pathlib import Path
from shutil import get_terminal_size

from dxbench import paths
from dxbench.boards.check import check
from dxbench.boards.gate_report import as_json as gate_as_json
from dxbench.boards.gate_report import headline, junit, markdown, summary
from dxbench.boards.opening import check_task
from dxbench.boards.render.text import ELSEWHERE
from dxbench.cli.common import say
from dxbench.errors import UsageError
from dxbench.files.writing import append_named, write_named
from dxbench.plugins.registry import task_name
from dxbench.records.index import RecordIndex, open_index


def check_command(
    *,
    baseline: Path,
    results: Path | None,
    task: str | None,
    alpha: float,
    rel_tol: float,
    junit_file: Path | None,
    as_json: bool,
) -> int:
    """Judge the runs of one folder by those of another; the exit code is the gate's.

    Raises:
        UsageError: for folders that are not there or are one and the same, or numbers out of range.
        InvalidFile: if a file among the records of either folder is none.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"--alpha lies between 0 and 1, got {alpha}")
    if not 0 <= rel_tol < float("inf"):
        raise UsageError(f"--rel-tol is a share of the baseline's mean, 0 or more, got {rel_tol}")
    candidate = results or paths.results()
    if not baseline.is_dir():
        raise UsageError(f"no folder {baseline}; --baseline takes the folder of records to compare with")
    if results is not None and not results.is_dir():
        raise UsageError(f"no folder {results}; --results takes the folder of your own records")
    if candidate.resolve() == baseline.resolve():
        raise UsageError(f"{baseline} would be compared with itself; give your own records with --results")
    if task is not None:
        task = task_name(task)
        check_task(task, [baseline, candidate])
    gate = check(_opened(baseline), _opened(candidate), task=task, alpha=alpha, rel_tol=rel_tol)
    if as_json:
        say(gate_as_json(gate))
    else:
        print(summary(gate, get_terminal_size(ELSEWHERE).columns))
    print(f"dxbench check: {headline(gate)}", file=sys.stderr)
    if junit_file is not None:  # after the verdict, which a place that cannot be written to must not hide
        write_named(junit_file, junit(gate))
    if step_summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        append_named(Path(step_summary), markdown(gate) + "\n")
    return int(gate.exit_code)


def _opened(folder: Path) -> RecordIndex:
    """The records of a folder, every one of which has to be readable: a gate passes over nothing."""
    index = open_index([folder])
    index.refuse_problems()
    return index
