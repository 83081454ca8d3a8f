"""Empty cells by the Ray launcher: cells per second, and what they leave in the memory of the process that hands out.

    .venv/bin/python benchmarks/ray_scale.py --cells 10000

Ray runs on this machine. A cell does nothing, so that what is measured is the launcher and Ray.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from dxbench.engine.attempt import RunOptions
from dxbench.engine.listener import SILENT
from dxbench.engine.plan import Cell, plan
from dxbench.launchers import Launch, LaunchSettings, Outcome, RayLauncher
from dxbench.launchers.ray import Ended
from dxbench.sweeps import Sweep

WARM_UP = 500
"""Cells before the clock starts and memory is looked at, so that workers are there."""


def nothing(cell: Cell, options: RunOptions, sweep: Path) -> Ended:
    """An empty cell."""
    return Ended(outcome=Outcome(cell=cell))


def resident_mib() -> float:
    """Memory of this process."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def counted(outcomes: Iterator[Outcome], number: int) -> None:
    """Take so many outcomes, and keep none."""
    for _ in range(number):
        assert (error := next(outcomes).error) is None, error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--address", help="of a Ray that is there; without it one is started")
    asked = parser.parse_args()
    cells = plan("gaussians8", "data", preset="default", overrides={}, seeds=list(range(WARM_UP + asked.cells)))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        own = {"address": asked.address} if asked.address else {}
        launch = Launch(
            sweep=Sweep.planned(home, cells),
            waiting=cells,
            seconds={},
            options=RunOptions(home=home, results=home / "results", device="cpu"),
            settings=LaunchSettings(own={"ray": own}),
            listener=SILENT,
            stop_requested=lambda: False,
        )
        outcomes = RayLauncher(nothing).run(launch)
        counted(outcomes, WARM_UP)
        memory, began = [resident_mib()], time.monotonic()
        for _ in range(10):
            counted(outcomes, asked.cells // 10)
            memory.append(resident_mib())
        took = time.monotonic() - began
        for _ in outcomes:
            raise AssertionError("more outcomes than cells")
    print(f"{asked.cells} empty cells in {took:.1f} s: {asked.cells / took:.0f} per second")
    print(f"memory of the launcher: {memory[0]:.0f} MiB, then {max(memory) - memory[0]:+.1f} MiB at most")


if __name__ == "__main__":
    main()
