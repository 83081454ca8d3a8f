"""Weights & Biases."""

import os
from collections.abc import Mapping

from dxbench.assets.prepare import asked_offline
from dxbench.engine.plan import Cell
from dxbench.errors import UsageError
from dxbench.trackers.base import Tracker, require

KEPT_HERE = "WANDB_MODE=offline keeps it on this machine, for `wandb sync`."


class WandbTracker(Tracker):
    """A run of Weights & Biases, in the project `WANDB_PROJECT` or else `dxbench`."""

    remedy = KEPT_HERE

    @classmethod
    def check(cls) -> None:
        require("wandb", "wandb")
        if asked_offline() and os.environ.get("WANDB_MODE") not in ("offline", "disabled"):
            raise UsageError(f"tracker 'wandb' needs a network, and DXBENCH_OFFLINE says there is none. {KEPT_HERE}")

    def begin(self, cell: Cell) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "dxbench"),
            id=cell.run_id,
            name=f"{cell.task}/{cell.method}/{cell.run_id}",
            config=dict(cell.config),
            dir=str(self.folder),
            resume="allow",
        )

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def finish(self) -> None:
        self._run.finish()
