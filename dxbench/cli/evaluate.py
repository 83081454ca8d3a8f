"""`dxbench eval`: samples made elsewhere."""

import zipfile
from pathlib import Path

import numpy as np
from rich.console import Console

from dxbench.api import Evaluation, Problem
from dxbench.cli.common import say
from dxbench.errors import ExitCode, InvalidFile, MissingData, NothingMeasured
from dxbench.registry import load_task


def evaluate_command(path: Path, task_name: str, *, as_json: bool) -> int:
    """Score the samples of a file.

    Raises:
        MissingData: if there is no such file.
        InvalidFile: if it holds no array of the right shape, or values that are not finite.
        NothingMeasured: if no metric could be computed.
    """
    task = load_task(task_name)
    samples = read_samples(path)
    problem = task.problem(oracle=False)
    if isinstance(problem, Problem) and samples.shape[1:] != problem.event_shape:
        shape = ", ".join(map(str, problem.event_shape))
        raise InvalidFile(f"{path}: samples of {task.name} have shape [n, {shape}], got {list(samples.shape)}")
    console = Console(stderr=True)
    with console.status("reading") as status:
        evaluation = task.evaluate_samples(samples, progress=status.update)
    if not evaluation.scores:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in evaluation.notes.items())
        raise NothingMeasured(f"{path}: no metric of {task.name} could be measured ({reasons})")
    if as_json:
        say(_as_json(evaluation))
    else:
        _print(evaluation, len(samples))
    return int(ExitCode.OK)


def read_samples(path: Path) -> np.ndarray:
    """The one array of an npz or npy file, float64; nothing in the file is executed."""
    if not path.is_file():
        raise MissingData(f"no file {path}")
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            array = loaded
        else:
            names = [name for name in ("arr_0", "samples") if name in loaded.files]
            if not names:
                raise InvalidFile(f"{path}: wants an array named arr_0 or samples, has {loaded.files}")
            array = loaded[names[0]]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidFile(f"{path} is not a readable npz or npy file: {error}") from None
    if not np.issubdtype(array.dtype, np.number) or array.ndim < 2 or len(array) == 0:
        raise InvalidFile(f"{path}: wants numbers of shape [n, ...], got {array.dtype} {list(array.shape)}")
    array = array.astype(np.float64)
    bad = int((~np.isfinite(array.reshape(len(array), -1)).all(axis=1)).sum())
    if bad:
        raise InvalidFile(f"{path}: {bad:,} of {len(array):,} samples are not finite")
    return array


def _as_json(evaluation: Evaluation) -> dict[str, object]:
    return {
        "scores": {name: estimate.model_dump(mode="json") for name, estimate in evaluation.scores.items()},
        "notes": evaluation.notes,
        "protocols": {key: protocol.model_dump(mode="json") for key, protocol in evaluation.protocols.items()},
    }


def _print(evaluation: Evaluation, n: int) -> None:
    print(f"{n:,} samples")
    for name, estimate in evaluation.scores.items():
        spread = "" if estimate.std is None else f" ± {estimate.std:.4f} (std of {estimate.n} samplings)"
        print(f"  {name:18} {estimate.value:.4f}{spread}   [{estimate.fingerprint}]")
    for name, reason in evaluation.notes.items():
        print(f"  {name:18} not measured: {reason}")
