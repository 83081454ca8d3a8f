"""The local launcher, for now by way of the engine's."""

from collections.abc import Iterator

from dxbench.engine.launchers import local
from dxbench.launchers.contract import Launch, Outcome
from dxbench.sweeps.sweep import Sweep


class LocalLauncher:
    """Cells on this machine."""

    def check(self, launch: Launch) -> None:
        pass

    def preview(self, launch: Launch) -> str:
        return ""

    def run(self, launch: Launch) -> Iterator[Outcome]:
        for one in local(
            launch.waiting,
            launch.options,
            jobs=launch.settings.jobs or 1,
            listener=launch.listener,
            stop_requested=launch.stop_requested,
        ):
            yield Outcome(cell=one.cell, record=one.record, error=one.error)

    def cancel(self, sweep: Sweep) -> str:
        return ""
