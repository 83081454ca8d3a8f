"""`dxbench eval`: samples made elsewhere."""

from pathlib import Path

from dxbench.api import Evaluation, NotApplicable, ProblemSet
from dxbench.cli.common import say, warn
from dxbench.cli.terminal import status
from dxbench.errors import ExitCode, NothingMeasured
from dxbench.readers import Statistics, read_samples
from dxbench.registry import load_task


def evaluate_command(path: Path, task_name: str, *, n: int | None, as_json: bool) -> int:
    """Score the samples, or the statistics, of a file or folder.

    Raises:
        MissingData: if there is no such file, or weights or data of the task are absent.
        InvalidFile: if it cannot be read, or holds what does not fit the task.
        NothingMeasured: if no metric could be computed.
    """
    task = load_task(task_name)
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
    if not evaluation.scores:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in evaluation.notes.items())
        raise NothingMeasured(f"{path}: no metric of {task.name} could be measured ({reasons})")
    for warning in evaluation.warnings:
        warn(warning)
    if as_json:
        say(_as_json(evaluation))
    else:
        _print(evaluation, n)
    return int(ExitCode.OK)


def _as_json(evaluation: Evaluation) -> dict[str, object]:
    return {
        "scores": {name: estimate.model_dump(mode="json") for name, estimate in evaluation.scores.items()},
        "notes": evaluation.notes,
        "warnings": list(evaluation.warnings),
        "protocols": {key: protocol.model_dump(mode="json") for key, protocol in evaluation.protocols.items()},
    }


def _print(evaluation: Evaluation, n: int | None) -> None:
    print("statistics of an unknown number of samples" if n is None else f"{n:,} samples")
    for name, estimate in evaluation.scores.items():
        spread = "" if estimate.std is None else f" ± {estimate.std:.4f} (std of {estimate.n} samplings)"
        print(f"  {name:18} {estimate.value:.4f}{spread}   [{estimate.fingerprint}]")
    for name, reason in evaluation.notes.items():
        print(f"  {name:18} not measured: {reason}")
