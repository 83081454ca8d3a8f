"""Event files of TensorBoard."""

from collections.abc import Mapping

from dxbench.engine.plan import Cell
from dxbench.trackers.base import Tracker, require


class TensorBoardTracker(Tracker):
    """Event files in `tensorboard/` of the run's folder, for `tensorboard --logdir`."""

    remedy = "Make room, or give the permission to write there."

    @classmethod
    def check(cls) -> None:
        require("tensorboard", "tensorboard")

    def begin(self, cell: Cell) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self.folder / "tensorboard"))

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def finish(self) -> None:
        self._writer.close()
