"""The model of a run that is done, from what the run left."""

from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from dxbench.api import Compute, Model
from dxbench.engine import process
from dxbench.engine.attempt import Attempt, RunOptions
from dxbench.engine.listener import SILENT
from dxbench.engine.parts import UnmetNeed, problem_for, start_training
from dxbench.engine.plan import Cell
from dxbench.engine.progress import Progress
from dxbench.engine.store import Busy, FolderStore
from dxbench.errors import InvalidFile, MissingData, UsageError


@dataclass(frozen=True)
class KeptParts:
    """Trained parts to be read; none is promised, and none is written."""

    store: FolderStore

    def slot(self, content: JsonValue) -> "KeptPart":
        return KeptPart(self.store, content)


@dataclass(frozen=True)
class KeptPart:
    """One of them."""

    store: FolderStore
    content: JsonValue

    def load(self) -> dict[str, Any] | None:
        slot = self.store.slot(self.content)
        try:
            return slot.load() if slot.path.exists() else None
        except Busy:
            return None
        finally:
            self.store.release()

    def save(self, state: dict[str, Any]) -> None:
        raise AssertionError("nothing is trained here")


def trained_model(cell: Cell, options: RunOptions) -> Model:
    """The model that a run trained, from its checkpoint; a method that takes no step is fitted anew.

    Raises:
        MissingData: if the run left no checkpoint, or data and weights of the task are absent.
        UsageError: if the run is not done.
        InvalidFile: if its checkpoint is damaged, or does not fit the code of today.
    """
    attempt = Attempt.at(cell, options, listener=SILENT, stop_requested=lambda: False, place=None)
    progress = Progress(cell)
    compute = Compute(
        device=attempt.device,
        threads=attempt.task.threads,
        store=KeptParts(FolderStore(attempt.trained_parts)),
        parallel=attempt.workers.parallel,
    )
    process.prepare_process(compute)
    process.seed_global_generators(progress.rng)
    try:
        problem = problem_for(attempt.task, attempt.method, attempt.config, compute)
    except UnmetNeed as error:
        raise UsageError(str(error)) from None
    training = start_training(attempt.method, problem, attempt.config, compute=compute, rng=progress.rng)
    if attempt.checkpoint.exists():
        progress.expect(training.total_steps, processes=1)
        try:
            progress.restore(training, attempt.checkpoint, device=None)
        except InvalidFile:
            raise
        except Exception as error:  # whatever a method makes of a state that is not its own
            raise InvalidFile(
                f"{attempt.checkpoint} does not fit this code ({type(error).__name__}: {error}); run it again to have "
                "weights of today's"
            ) from error
    elif training.total_steps > 0:
        raise MissingData(
            f"no weights of {cell}: {attempt.checkpoint} is not there. Run it "
            "again (dxbench.run, or `dxbench run` with --again), or set DXBENCH_HOME to the folder of its runs"
        )
    if progress.step < training.total_steps:
        raise UsageError(
            f"{cell}, is trained to step {progress.step:,} of {training.total_steps:,}; run it on to its end first"
        )
    return training.model()
