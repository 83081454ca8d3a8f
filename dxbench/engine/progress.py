"""The progress of a run: all of its state that is not the method's."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from dxbench.api import Failure, Training
from dxbench.api.streams import RandomStreams
from dxbench.engine import process
from dxbench.engine.checkpoint import NonFiniteState, load_checkpoint, save_checkpoint
from dxbench.engine.curves import CurveLog
from dxbench.engine.ledger import Ledger, TrainingMeter
from dxbench.engine.plan import Cell
from dxbench.errors import InvalidFile, UsageError

Phase = Literal["setup", "train", "evaluate"]


class NonFiniteScalar(Exception):
    """A logged scalar, or a tensor of the state, is NaN or infinite."""


class Progress:
    """The state of one run: the only mutable thing between the plan and the record.

    Attributes:
        phase: what is under way.
        step: steps that are done.
        resumed: how often the run was picked up again.
        train_seconds, eval_seconds: of the whole run so far; `waited` of them for another run's backbone.
        compiled: its networks are, so that those of a resumed run are too.
        rng: the streams of the run; checkpoints hold the process-wide generators beside them.
    """

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self.ledger = Ledger()
        self.phase: Phase = "setup"
        self.eval_seconds = 0.0
        self.restart()

    def restart(self) -> None:
        """Nothing is done, and the streams begin."""
        self.step, self.resumed = 0, 0
        self.train_seconds, self.waited = 0.0, 0.0
        self.compiled = False
        self.ledger.clear()
        self.curves = CurveLog(0)
        self.rng = RandomStreams(self._cell.method, self._cell.task, self._cell.seed)

    def expect(self, total_steps: int, *, processes: int) -> None:
        """Be ready to log and to count so many steps, shared by so many processes."""
        self.curves = CurveLog(total_steps)
        self.ledger.meter = TrainingMeter(total_steps, processes=processes)

    def log(self, scalars: Mapping[str, float], *, checkpoint: Path) -> None:
        """One more step is done.

        Raises:
            NonFiniteScalar: naming the term and the step, and whether a checkpoint is kept.
        """
        self.step += 1
        for name, value in scalars.items():
            if not math.isfinite(value):
                what = "the last good checkpoint is kept" if checkpoint.exists() else "no checkpoint was due yet"
                raise NonFiniteScalar(f"{name} is {value} at step {self.step:,}; {what}")
        self.curves.add(self.step, scalars)

    def failure(self, kind: str, message: str) -> Failure:
        """The failure, with the place where the run stands."""
        step = self.step if self.phase == "train" else None
        return Failure(phase=self.phase, step=step, type=kind, message=message or kind)

    def state_dict(self) -> dict[str, Any]:
        return {
            "rng": self.rng.state_dict(),
            "global_rng": process.global_generator_state(),
            "curves": self.curves.state_dict(),
            "ledger": self.ledger.state_dict(),
            "step": self.step,
            "train_seconds": self.train_seconds,
            "resumed": self.resumed,
            "compiled": self.compiled,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there; the process-wide generators too."""
        self.rng.load_state_dict(state["rng"])
        process.restore_global_generators(state["global_rng"])
        self.curves.load_state_dict(state["curves"])
        self.ledger.load_state_dict(state["ledger"])
        self.step, self.resumed = int(state["step"]), int(state["resumed"]) + 1
        self.train_seconds = float(state["train_seconds"])
        self.compiled = bool(state.get("compiled", False))  # of before networks were compiled

    # --- with the method's own state, in a file --------------------------------------------------------------

    def save(self, training: Training, path: Path, *, device: str) -> None:
        """Write the checkpoint of a run.

        Raises:
            NonFiniteScalar: if a tensor of the state is not finite; the last good checkpoint is kept.
        """
        state = {"training": training.state_dict(), **self.state_dict(), "device": device}
        try:
            save_checkpoint(path, state, run_id=self._cell.run_id)
        except NonFiniteState as error:
            raise NonFiniteScalar(
                f"{error} is not finite after step {self.step:,}; the last good checkpoint is kept"
            ) from None

    def restore(self, training: Training, path: Path, *, device: str | None) -> None:
        """Read the checkpoint of a run; without a device, that of a run on any.

        Raises:
            UsageError: for the state of a run on another kind of device, whose numbers are not those of this one.
            InvalidFile: if the file is damaged, or of another run or length.
        """
        state = load_checkpoint(path, run_id=self._cell.run_id)
        if device is not None and state["device"] != device:
            raise UsageError(
                f"{path} is of a run on {state['device']}, this one is on {device}; go on there with --device "
                f"{state['device']}, or begin anew with --fresh"
            )
        training.load_state_dict(state["training"])
        self.load_state_dict(state)
        if not 0 <= self.step <= training.total_steps:
            raise InvalidFile(f"{path} is of step {self.step:,} of {training.total_steps:,}")
