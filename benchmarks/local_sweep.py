"""Measure what the local launcher adds to cells: seconds per tiny one, and per cent of one that takes a minute.

Of each cell its record says how long it trained and was scored; the rest of the time that a worker has is the
launcher's, the engine's and the files'. The first cells of a worker, which load torch and what else there is, are left
out.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dxbench.api import Compute, Config, Method, Model, Problem, RandomStreams, Training
from dxbench.engine import RunOptions
from dxbench.engine.listener import SILENT
from dxbench.engine.plan import Cell, plan
from dxbench.launchers import Launch, LaunchSettings, LocalLauncher
from dxbench.sweeps import Sweep
from dxbench.tasks.gaussians8 import MODE_SHARE_MIN, SW2, Gaussians8

WARM_UP = 2
"""Cells of each worker that are not counted."""
LONG = 10.0
"""Seconds of a long cell: what is added does not depend on the length, and is told of a minute."""


class Tiny(Gaussians8):
    """Eight Gaussians, scored in a tenth of a second."""

    name = "tiny8"
    family = "plane"
    headline = ("sw2",)

    @property
    def metrics(self) -> Sequence[Any]:
        return (replace(SW2, num_projections=4), MODE_SHARE_MIN)


class WaitingConfig(Config):
    """The settings of `Waiting`."""

    iterations: int = 10
    pause: float = 0.0


class WaitingTraining(Training):
    """Steps that wait."""

    def __init__(self, config: WaitingConfig) -> None:
        self._config = config
        self._net = nn.Linear(2, 2)

    @property
    def total_steps(self) -> int:
        return self._config.iterations

    def step(self) -> dict[str, float | Tensor]:
        time.sleep(self._config.pause)
        return {"loss": 0.0}

    def state_dict(self) -> dict[str, Any]:
        return {"net": self._net.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._net.load_state_dict(state["net"])

    def model(self) -> Model:
        def sampler(seeds: Tensor) -> Tensor:
            return self._net(torch.stack([torch.sin(seeds.double()), torch.cos(seeds.double())], 1).float())

        return Model(networks=(self._net,), sampler=sampler)


class Waiting(Method):
    """Takes the time that it is told to."""

    name = "waiting"
    version = 1
    Config = WaitingConfig

    def start(self, problem: Problem, config: WaitingConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        return WaitingTraining(config)


def cells_of(count: int, **overrides: Any) -> list[Cell]:
    file = Path(__file__).resolve()
    return plan(f"{file}:Tiny", f"{file}:Waiting", preset="default", overrides=overrides, seeds=list(range(count)))


def beyond(cells: Sequence[Cell], jobs: int, home: Path) -> tuple[float, float, float]:
    """Seconds of a worker per cell that are not the cell's own, those that are, and seconds to the first outcome."""
    launch = Launch(
        sweep=Sweep.planned(home, cells),
        waiting=cells,
        seconds={},
        options=RunOptions(home=home, results=home / "results", device="cpu"),
        settings=LaunchSettings(jobs=jobs),
        listener=SILENT,
        stop_requested=lambda: False,
    )
    begun, ends, own = time.perf_counter(), [], []
    for outcome in LocalLauncher().run(launch):
        assert outcome.record is not None
        assert outcome.record.cost is not None
        ends.append(time.perf_counter())
        own.append(outcome.record.cost.train_seconds + outcome.record.cost.eval_seconds)
    first = WARM_UP * jobs
    span = (ends[-1] - ends[first - 1]) * jobs / (len(ends) - first)
    return span - statistics.mean(own[first:]), statistics.mean(own[first:]), ends[0] - begun


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for jobs in (1, 2):
            more, own, start = beyond(cells_of(40), jobs, Path(folder, f"tiny-{jobs}"))
            print(f"{jobs} at a time: {more:.3f} s beyond {own:.3f} s of a tiny cell; first after {start:.1f} s")
        for jobs in (1, 2):
            cells = cells_of(4 * jobs, iterations=200, pause=LONG / 200)
            more, own, _ = beyond(cells, jobs, Path(folder, f"long-{jobs}"))
            print(
                f"{jobs} at a time: {more:.2f} s beyond {own:.1f} s of a long cell, {100 * more / 60:.1f} % of a minute"
            )


if __name__ == "__main__":
    main()
