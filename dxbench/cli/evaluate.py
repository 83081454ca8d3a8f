"""`dxbench eval`: samples made elsewhere."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from dxbench import paths
from dxbench.api import ResultRecord, Task
from dxbench.boards.aggregate import label_of
from dxbench.cli.common import say, warn
from dxbench.errors import ExitCode
from dxbench.plain import counted
from dxbench.plugins.registry import load_task
from dxbench.python.evaluating import by_protocol, judged
from dxbench.python.outside import Outside, keep
from dxbench.python.samplers import source_of
from dxbench.python.scores import Scores
from dxbench.records.entries import Entry
from dxbench.terminal.console import status


def evaluate_command(
    path: Path,
    task_name: str,
    *,
    metrics: Sequence[str],
    n: int | None,
    seed: int,
    settings: dict[str, JsonValue],
    as_json: bool,
) -> int:
    """Score samples, statistics, or what a sampler draws; raises as `dxbench.evaluate`."""
    task = load_task(task_name)
    with status("reading") as tell:
        source = source_of(path, task, settings)
        found, n = judged(source, task, metrics=metrics, n=n, seed=seed, progress=tell)
    scores = Scores.of(found, n=n)
    _show(scores, as_json=as_json)
    if not as_json:
        _print_beside(task, path.name, scores)
    return int(ExitCode.OK)


def outside_command(path: Path, task_name: str, said: Outside, *, n: int | None, save: bool, as_json: bool) -> int:
    """Score samples that go by a name, and put them on record where that is asked for.

    Raises:
        UsageError: for a name that is taken, passes neither claimed nor counted, or other samples of that seed.
        InvalidFile: for samples that do not fit, or passes that were counted to be others.
        DxbenchError: as `dxbench.evaluate`.
    """
    said.require_free(paths.results())
    task = load_task(task_name)
    with status("reading") as tell:
        source = source_of(path, task, said.settings)
        said.require_passes(source)
        found, n = judged(source, task, n=n, seed=said.first_seed(task), progress=tell)
    record = said.record(task, found, command=None)
    written = keep(record, found, results=paths.results(), home=paths.home()) if save else None
    scores = Scores.of(record, n=n)
    _show(scores, as_json=as_json, record=record, written=written)
    if not as_json:
        _print_beside(task, label_of(Entry.of(record, "")), scores)
        print(f"\nsaved: {written}" if written else "\nnot on record; --save puts it there")
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


def _show(scores: Scores, *, as_json: bool, record: ResultRecord | None = None, written: Path | None = None) -> None:
    for warning in scores.warnings:
        warn(warning)
    if as_json:
        say(_as_json(scores) | ({} if record is None else _named(record, written)))
        return
    _print(scores)
    if record is not None:
        print(f"  passes per sample: {record.nfe:g}, {record.external}")


def _named(record: ResultRecord, written: Path | None) -> dict[str, object]:
    """The claims about samples that go by a name."""
    return {
        "name": record.method,
        "run_id": record.run_id,
        "nfe": record.nfe,
        "passes": record.external,
        "saved": None if written is None else str(written),
    }


def _print_beside(task: Task, label: str, scores: Scores) -> None:
    """Print the values of others, in the columns of the task's tables."""
    from dxbench.boards.render.text import aligned
    from dxbench.boards.tables import samples_beside_others
    from dxbench.records.index import open_index

    index = open_index([paths.reference_results(), paths.results()], task=task.name)
    table = samples_beside_others(
        index, task.name, label=label, nfe=scores.nfe, scores=scores.estimates, metrics=task.headline
    )
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
    print("statistics of an unknown number of samples" if scores.n is None else counted(scores.n, "sample"))
    width = max(map(len, [*scores.estimates, *scores.notes]))
    for name, estimate in scores.estimates.items():
        spread = "" if estimate.std is None else f" ± {estimate.std:.4f} (std, ddof 1, of {estimate.n} measurements)"
        print(f"  {name:{width}} {estimate.value:.4f}{spread}   [{estimate.fingerprint}]")
    for name, reason in scores.notes.items():
        print(f"  {name:{width}} not measured: {reason}")
