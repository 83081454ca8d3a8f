"""`dxbench eval`: samples made elsewhere."""

from collections.abc import Sequence
from pathlib import Path

from dxbench import paths
from dxbench.api import Task
from dxbench.cli.common import say, warn
from dxbench.errors import ExitCode
from dxbench.plugins.registry import load_task
from dxbench.python.evaluating import by_protocol, by_task
from dxbench.python.scores import Scores
from dxbench.terminal.console import status


def evaluate_command(path: Path, task_name: str, *, metrics: Sequence[str], n: int | None, as_json: bool) -> int:
    """Score the samples, or the statistics, of a file or folder; raises as `dxbench.evaluate`."""
    task = load_task(task_name)
    with status("reading") as tell:
        scores = by_task(path, task, metrics=metrics, n=n, seed=0, device="auto", progress=tell)
    _show(scores, as_json=as_json)
    if not as_json:
        _print_beside(task, path, scores)
    return int(ExitCode.OK)


def against_command(
    path: Path, reference: Path, protocols: str | None, *, train: Path | None, n: int | None, as_json: bool
) -> int:
    """Score a set against another by protocols for two sets; raises as `dxbench.evaluate`."""
    names = [name.strip() for name in protocols.split(",")] if protocols is not None else None
    with status("reading") as tell:
        scores = by_protocol(path, reference, names, train=train, n=n, progress=tell)
    _show(scores, as_json=as_json)
    return int(ExitCode.OK)


def _show(scores: Scores, *, as_json: bool) -> None:
    for warning in scores.warnings:
        warn(warning)
    if as_json:
        say(_as_json(scores))
    else:
        _print(scores)


def _print_beside(task: Task, path: Path, scores: Scores) -> None:
    """What others have, in the columns of the task's tables."""
    from dxbench.boards.render.text import aligned
    from dxbench.boards.tables import samples_beside_others
    from dxbench.records.index import open_index

    index = open_index([paths.reference_results(), paths.results()], task=task.name)
    table = samples_beside_others(index, task.name, label=path.name, scores=scores.estimates, metrics=task.headline)
    if len(table.rows) > 1:
        print()
        print(aligned(table))


def _as_json(scores: Scores) -> dict[str, object]:
    return {
        "scores": {name: estimate.model_dump(mode="json") for name, estimate in scores.estimates.items()},
        "notes": dict(scores.notes),
        "warnings": list(scores.warnings),
        "protocols": {key: protocol.model_dump(mode="json") for key, protocol in scores.protocols.items()},
    }


def _print(scores: Scores) -> None:
    print("statistics of an unknown number of samples" if scores.n is None else f"{scores.n:,} samples")
    width = max(map(len, [*scores.estimates, *scores.notes]))
    for name, estimate in scores.estimates.items():
        spread = "" if estimate.std is None else f" ± {estimate.std:.4f} (std, ddof 1, of {estimate.n} measurements)"
        print(f"  {name:{width}} {estimate.value:.4f}{spread}   [{estimate.fingerprint}]")
    for name, reason in scores.notes.items():
        print(f"  {name:{width}} not measured: {reason}")
