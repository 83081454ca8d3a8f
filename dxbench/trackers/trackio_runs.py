"""trackio, which keeps runs on this machine, or in a Space where `TRACKIO_SPACE_ID` names one."""

import os
from collections.abc import Mapping

from dxbench.assets.prepare import asked_offline
from dxbench.engine.plan import Cell
from dxbench.errors import UsageError
from dxbench.trackers.base import Tracker, require

KEPT_HERE = "Without TRACKIO_SPACE_ID it stays on this machine, for `trackio show`."


class TrackioTracker(Tracker):
    """A run of trackio, in the project `TRACKIO_PROJECT` or else `dxbench`."""

    remedy = KEPT_HERE

    @classmethod
    def check(cls) -> None:
        require("trackio", "trackio")
        if asked_offline() and os.environ.get("TRACKIO_SPACE_ID"):
            raise UsageError(
                f"tracker 'trackio' needs a network for its Space, and DXBENCH_OFFLINE is set. {KEPT_HERE}"
            )

    def begin(self, cell: Cell) -> None:
        import trackio  # pyright: ignore[reportMissingImports]

        self._run = trackio.init(
            project=os.environ.get("TRACKIO_PROJECT", "dxbench"),
            name=f"{cell.task}-{cell.method}-{cell.run_id}",
            config=dict(cell.config),
            space_id=os.environ.get("TRACKIO_SPACE_ID") or None,
            resume="allow",
        )

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def finish(self) -> None:
        self._run.finish()
