"""This machine: cells one after the other in this process, or several at a time in others."""

import os
from collections.abc import Iterator

import torch

from dxbench.engine import process
from dxbench.engine.spread import outer_rank
from dxbench.errors import Interrupted, UsageError
from dxbench.launchers.contract import Launch, Outcome
from dxbench.launchers.crew import GRACE, Carrier, Crew, await_news, dismiss
from dxbench.launchers.queue import CellQueue
from dxbench.plain import counted
from dxbench.plugins.registry import load_task
from dxbench.sweeps.sweep import Sweep


class LocalLauncher:
    """This machine: cells one after the other in this process, or several at a time in processes that stay loaded.

    On CUDA devices there is a process for each unless `jobs` says otherwise. A cell on several devices has a process
    for each: new ones, or those that torchrun or SLURM has started.
    """

    def check(self, launch: Launch) -> None:
        """Refuse what does not go together."""
        spread, settings = launch.options.spread, launch.settings
        if spread.processes > 1 and (settings.jobs or 1) > 1:
            raise UsageError("--jobs and --devices do not go together: a cell takes all devices")
        if settings.nodes not in (1, spread.machines):
            raise UsageError(
                f"--nodes {settings.nodes}: the local launcher is on {counted(spread.machines, 'machine')}. Use "
                "--launcher slurm, or start the command by srun or torchrun, which say how many there are"
            )
        if settings.detach:
            raise UsageError(
                "--detach wants a launcher with a queue of its own, such as slurm; cells of the local one end "
                "with the command: leave --detach out, and start it with nohup to close the terminal"
            )

    def preview(self, launch: Launch) -> str:
        """Nothing: what is run here is the cells as they stand."""
        return ""

    def run(self, launch: Launch) -> Iterator[Outcome]:
        """Run the cells; a process that dies is replaced, and its cell tried again up to `retries` times.

        Raises:
            UsageError: for devices that are not here.
        """
        spread, devices = launch.options.spread, _devices(launch)
        gpus = _gpus() if "cuda" in devices else []
        outer = outer_rank(spread)
        for device in devices if outer is None else ():
            process.check_devices(device, spread.devices)
        queue = CellQueue(launch.waiting, retries=launch.settings.retries)
        seats = min(launch.settings.jobs or len(gpus) or 1, len(launch.waiting))
        if outer is not None or (spread.devices == 1 and seats <= 1):
            return _here(launch, queue, together=outer is not None)
        if spread.devices > 1:
            return _in_crews(launch, queue, [Crew(launch.options)])
        gpu_of = [gpus[seat % len(gpus)] if gpus else None for seat in range(seats)]
        return _in_crews(launch, queue, [Crew(launch.options, gpu=gpu) for gpu in gpu_of])

    def cancel(self, sweep: Sweep) -> str:
        """Nothing: every cell looks at `sweep.cancelled` by itself."""
        return ""


def _devices(launch: Launch) -> set[str]:
    """The kinds of torch devices that the cells are for."""
    tasks = {cell.task: cell.task_ref for cell in launch.waiting}
    return {
        process.choose_device(launch.options.device, auto=load_task(reference).auto_device)
        for reference in tasks.values()
    }


def _gpus() -> list[str]:
    """The CUDA devices that this process sees, in the words of CUDA_VISIBLE_DEVICES."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return given.split(",") if given else [str(index) for index in range(torch.cuda.device_count())]


def _here(launch: Launch, queue: CellQueue, *, together: bool) -> Iterator[Outcome]:
    """One cell after the other in this process, which is one of several where they go `together`."""
    carry_out = Carrier(launch.options, launch.listener)
    while not launch.stop_requested() and (cell := queue.next()) is not None:
        outcome = carry_out(cell, launch.stop_requested)
        if (told := queue.settle(outcome)) is not None:
            yield told
        if together and not outcome.together:
            return


def _in_crews(launch: Launch, queue: CellQueue, crews: list[Crew]) -> Iterator[Outcome]:
    """Run as many cells at a time as there are crews."""
    stopping = False
    try:
        while not queue.empty or any(crew.cell for crew in crews):
            if launch.stop_requested() and not stopping:
                stopping = True
                queue.clear()
                for crew in crews:
                    crew.stop()
            for crew in crews:
                if crew.cell is None and (cell := queue.next()) is not None:
                    crew.give(cell)
            busy = [crew for crew in crews if crew.cell is not None]
            await_news(busy)
            for crew in busy:
                if (outcome := _news(crew, launch, queue, stopping=stopping)) is not None:
                    yield outcome
    finally:  # those who have a cell are left when this process is interrupted
        dismiss([crew for crew in crews if crew.cell is not None], grace=0.0)
        dismiss(crews, grace=GRACE)


def _news(crew: Crew, launch: Launch, queue: CellQueue, *, stopping: bool) -> Outcome | None:
    """Pass on what a crew has to say; the outcome of its cell, once there is one."""
    assert crew.cell is not None
    death = crew.death()  # looked for first: what was said before it is all there
    for call, content in crew.messages():
        if call == "outcome":
            crew.done()
            return queue.settle(content)
        getattr(launch.listener, call)(crew.cell, **content)
    if death is None:
        return None
    crew.stop()
    crew.dismiss()
    cell = crew.done()
    if not stopping and queue.again(cell):
        launch.listener.warned(cell, f"{death}; it is tried again")
        return None
    return queue.settle(Outcome(cell=cell, error=Interrupted(str(death)) if stopping else death))
