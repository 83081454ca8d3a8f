"""`dxbench eval`: samples made elsewhere."""

from pathlib import Path

from dxbench import paths
from dxbench.api import Evaluation, NotApplicable, ProblemSet, Task
from dxbench.cli.common import say, warn
from dxbench.cli.terminal import status
from dxbench.errors import ExitCode, NothingMeasured, UsageError, unknown
from dxbench.plugins.registry import load_task
from dxbench.readers import Statistics, read_samples
from dxbench.threads import fix_threads

THREADS_WITHOUT_TASK = 2
"""As tasks of images have."""


def evaluate_command(path: Path, task_name: str, *, n: int | None, as_json: bool) -> int:
    """Score the samples, or the statistics, of a file or folder.

    Raises:
        MissingData: if there is no such file, or weights or data of the task are absent.
        InvalidFile: if it cannot be read, or holds what does not fit the task.
        NothingMeasured: if no metric could be computed.
    """
    task = load_task(task_name)
    fix_threads(task.threads)
    problem = task.problem(oracle=False)
    if isinstance(problem, ProblemSet):
        raise NothingMeasured(f"{path}: {task_name} has a model for each of {len(problem.parts)} problems, not samples")
    with status("reading") as tell:
        read = read_samples(path, problem.event_shape, num_classes=problem.num_classes, image_bytes=task.image_bytes)
        try:
            if isinstance(read, Statistics):
                evaluation = task.evaluate_statistics(read.moments, n=n, progress=tell)
            else:
                n = len(read)
                evaluation = task.evaluate_samples(read, progress=tell)
        except NotApplicable as reason:
            raise NothingMeasured(f"{path}: {reason}") from None
    _require_scores(path, evaluation, f"metric of {task.name}")
    _show(evaluation, n, as_json=as_json)
    if not as_json:
        _print_beside(task, path, evaluation)
    return int(ExitCode.OK)


def against_command(
    path: Path, reference: Path, protocols: str | None, *, train: Path | None, n: int | None, as_json: bool
) -> int:
    """Score a set against another by protocols for two sets.

    Raises:
        UsageError: for an unknown protocol, or sets that it cannot compare.
        MissingData, InvalidFile, NothingMeasured: as `evaluate_command`.
    """
    from dxbench.features.protocols import SET_PROTOCOLS
    from dxbench.features.sets import read_set, score_against

    if protocols is None:
        raise UsageError(f"--against wants --protocol: one or several of {', '.join(SET_PROTOCOLS)}")
    names = [name.strip() for name in protocols.split(",")]
    for name in names:
        if name not in SET_PROTOCOLS:
            raise unknown("protocol", name, SET_PROTOCOLS, remedy="See `dxbench list protocols`.")
    fix_threads(THREADS_WITHOUT_TASK)
    with status("reading") as tell:
        samples, real = read_set(path), read_set(reference)
        evaluation = score_against(
            [SET_PROTOCOLS[name] for name in dict.fromkeys(names)],
            samples,
            real,
            train=None if train is None else read_set(train),
            n=n,
            progress=tell,
        )
    _require_scores(path, evaluation, f"metric of {', '.join(names)}")
    _show(evaluation, n or samples.n, as_json=as_json)
    return int(ExitCode.OK)


def _require_scores(path: Path, evaluation: Evaluation, what: str) -> None:
    if not evaluation.scores:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in evaluation.notes.items())
        raise NothingMeasured(f"{path}: no {what} could be measured ({reasons})")


def _show(evaluation: Evaluation, n: int | None, *, as_json: bool) -> None:
    for warning in evaluation.warnings:
        warn(warning)
    if as_json:
        say(_as_json(evaluation))
    else:
        _print(evaluation, n)


def _print_beside(task: Task, path: Path, evaluation: Evaluation) -> None:
    """What others have, in the columns of the task's tables."""
    from dxbench.boards.render.text import aligned
    from dxbench.boards.tables import samples_beside_others
    from dxbench.records.index import open_index

    index = open_index([paths.reference_results(), paths.results()], task=task.name)
    table = samples_beside_others(index, task.name, label=path.name, scores=evaluation.scores, metrics=task.headline)
    if len(table.rows) > 1:
        print()
        print(aligned(table))


def _as_json(evaluation: Evaluation) -> dict[str, object]:
    return {
        "scores": {name: estimate.model_dump(mode="json") for name, estimate in evaluation.scores.items()},
        "notes": evaluation.notes,
        "warnings": list(evaluation.warnings),
        "protocols": {key: protocol.model_dump(mode="json") for key, protocol in evaluation.protocols.items()},
    }


def _print(evaluation: Evaluation, n: int | None) -> None:
    print("statistics of an unknown number of samples" if n is None else f"{n:,} samples")
    width = max(map(len, [*evaluation.scores, *evaluation.notes]))
    for name, estimate in evaluation.scores.items():
        spread = "" if estimate.std is None else f" ± {estimate.std:.4f} (std, ddof 1, of {estimate.n} measurements)"
        print(f"  {name:{width}} {estimate.value:.4f}{spread}   [{estimate.fingerprint}]")
    for name, reason in evaluation.notes.items():
        print(f"  {name:{width}} not measured: {reason}")
