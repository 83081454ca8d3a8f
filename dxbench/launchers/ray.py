"""Cells as tasks of Ray, whose workers keep torch loaded from one cell to the next."""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from dxbench.api import ResultRecord
from dxbench.engine.attempt import RunOptions
from dxbench.engine.plan import Cell
from dxbench.engine.provenance import command_line
from dxbench.engine.stopping import StopSignals
from dxbench.errors import DxbenchError, Interrupted, MachineFault, UsageError
from dxbench.launchers.contract import Launch, LaunchSettings, Outcome
from dxbench.launchers.local import LocalLauncher
from dxbench.launchers.queue import CellQueue
from dxbench.launchers.ray_cluster import Node, RaySettings, connected, nodes_at, require_ray
from dxbench.plugins.registry import load_task
from dxbench.sweeps.asked import Asked
from dxbench.sweeps.sweep import Sweep, whole

POLL_SECONDS = 0.5
AHEAD = 4
"""Tasks that Ray is given at a time, for each that it can run: so many that no place waits for this process and an
autoscaler sees that there is work, so few that a large sweep takes no memory here."""
FEWEST = 64
COUNT_EVERY = 10.0  # seconds


class Work(Protocol):
    """The work of a task, on whatever node it is; called by Ray."""

    def __call__(self, cell: Cell, options: RunOptions, sweep: Path) -> "Ended": ...


@dataclass(frozen=True, kw_only=True)
class Ended:
    """The result that comes back from a task.

    Attributes:
        told: the calls that the listener missed there, steps left out.
    """

    outcome: Outcome
    told: Sequence[tuple[str, Mapping[str, Any]]] = ()


class RayLauncher:
    """Cells as tasks of a Ray: of a cluster, or of one that is started on this machine for the sweep.

    Args:
        work: what a task does with its cell.
    """

    def __init__(self, work: Work | None = None) -> None:
        self._work = work or run_there

    def check(self, launch: Launch) -> None:
        """Refuse what Ray cannot do, and cells that no node has room for."""
        require_ray()
        if launch.settings.nodes > 1:
            raise UsageError(
                f"--nodes {launch.settings.nodes}: a task of Ray is on one node; take --launcher slurm, or torchrun"
            )
        if launch.settings.detach:
            raise UsageError(
                "--detach: Ray ends what a command has started when the command ends; leave it out and give the whole "
                "command to `ray job submit --no-wait --`"
            )
        settings = RaySettings.typed(launch.settings.own.get("ray", {}))
        nodes = nodes_at(settings.address)
        for need in {needs_of(cell, launch.options, settings, nodes) for cell in launch.waiting}:
            need.check(nodes)

    def preview(self, launch: Launch) -> str:
        """The cluster and what each kind of cell takes of it."""
        settings = RaySettings.typed(launch.settings.own.get("ray", {}))
        nodes = nodes_at(settings.address)
        kinds = dict.fromkeys(needs_of(cell, launch.options, settings, nodes) for cell in launch.waiting)
        where = "a Ray started on this machine" if settings.address is None else f"the Ray at {settings.address}"
        room = ", ".join(f"{sum(node.get(name, 0) for node in nodes):g} {name}s" for name in ("CPU", "GPU"))
        return "\n".join([f"{where}: {len(nodes)} node(s), {room}", *(f"a cell takes {need}" for need in kinds)])

    def run(self, launch: Launch) -> Iterator[Outcome]:
        """Run the waiting cells, as many at a time as the cluster has room for, or --jobs."""
        settings = RaySettings.typed(launch.settings.own.get("ray", {}))
        with connected(settings.address) as ray:
            yield from _Tasks(ray, launch, settings, self._work).outcomes()

    def cancel(self, sweep: Sweep) -> str:
        """Do nothing: the cells look for themselves, and Ray has none that its command would not take back."""
        return ""


# --- what a cell takes -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Need:
    """The demand of a cell on a node, and the device that it runs on there."""

    device: str
    cpus: float
    gpus: float
    resources: tuple[tuple[str, float], ...] = ()

    @property
    def amounts(self) -> Node:
        """The amounts by Ray's names."""
        return {"CPU": self.cpus, "GPU": self.gpus, **dict(self.resources)}

    def check(self, nodes: Sequence[Node]) -> None:
        """Refuse a need that no node can meet.

        Raises:
            UsageError: with what the largest have.
        """
        if any(all(node.get(name, 0) >= amount for name, amount in self.amounts.items()) for node in nodes):
            return
        most = ", ".join(f"{max((node.get(name, 0) for node in nodes), default=0):g} {name}" for name in self.amounts)
        raise UsageError(
            f"a cell takes {self}, and no node of the Ray has that (at most {most}); take fewer --devices, or say by "
            "--ray num_cpus=N and --ray num_gpus=N what a cell takes"
        )

    def __str__(self) -> str:
        return ", ".join(f"{amount:g} {name}" for name, amount in self.amounts.items() if amount) or "nothing"


def needs_of(cell: Cell, options: RunOptions, settings: RaySettings, nodes: Sequence[Node]) -> Need:
    """The demand of a cell. With `--device auto`, GPUs are for tasks that want them where a node has one.

    Raises:
        UsageError: for devices and GPUs that contradict each other.
    """
    task, devices = load_task(cell.task_ref), options.spread.devices
    wants = options.device == "auto" and task.auto_device == "cuda"
    cuda = options.device == "cuda" or (wants and any(node.get("GPU") for node in nodes))
    gpus = settings.num_gpus if settings.num_gpus is not None else float(devices if cuda else 0)
    if cuda and (gpus == 0 or (devices > 1 and gpus != devices)):
        raise UsageError(f"--devices {devices} and --ray num_gpus={gpus:g} contradict each other; leave out num_gpus")
    cpus = settings.num_cpus if settings.num_cpus is not None else float(devices * (1 if cuda else task.threads))
    return Need(
        device="cuda" if cuda else "cpu" if options.device == "auto" else options.device,
        cpus=cpus,
        gpus=gpus,
        resources=tuple(sorted(settings.resources.items())),
    )


# --- here: handing out and taking back -------------------------------------------------------------------------------


class _Tasks:
    """The tasks of a launch. Ray places and runs them; whether a cell is begun again is decided here."""

    def __init__(self, ray: Any, launch: Launch, settings: RaySettings, work: Work) -> None:
        self._ray, self._launch = ray, launch
        self._settings, self._work = settings, work
        home, results = launch.options.home.resolve(), launch.options.results.resolve()
        command = launch.options.command or command_line()
        self._options = replace(launch.options, home=home, results=results, command=command)
        self._folder = launch.sweep.folder.resolve()
        self._queue = CellQueue(launch.waiting, retries=launch.settings.retries)
        self._remote: dict[Need, Any] = {}
        self._running: dict[Any, Cell] = {}
        self._stopping = False
        self._nodes: Sequence[Node] = ()
        self._counted = -COUNT_EVERY

    def outcomes(self) -> Iterator[Outcome]:
        """Outcomes as cells end."""
        while self._running or not self._queue.empty:
            if not self._stopping and self._launch.stop_requested():
                self._stop()
            self._hand_out()
            for ref in self._ready():
                if (outcome := self._ended(self._running.pop(ref), ref)) is not None:
                    yield outcome

    def _stop(self) -> None:
        """Begin nothing more, take back what Ray has not begun, and tell who is at a cell to save."""
        self._stopping = True
        self._queue.clear()
        for ref in self._running:
            self._ray.cancel(ref, force=False)

    def _hand_out(self) -> None:
        most = self._most()
        while len(self._running) < most and (cell := self._queue.next()) is not None:
            need = needs_of(cell, self._options, self._settings, self._nodes)
            options = replace(self._options, device=need.device)
            self._running[self._task(need).remote(_everywhere(cell), options, self._folder)] = cell

    def _most(self) -> int:
        """Tasks that Ray may have at a time; nodes are counted now and then, since a cluster grows and shrinks."""
        if time.monotonic() - self._counted > COUNT_EVERY:
            self._counted = time.monotonic()
            self._nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        places = sum(node.get("CPU", 0) for node in self._nodes)
        return self._launch.settings.jobs or max(FEWEST, int(AHEAD * places))

    def _task(self, need: Need) -> Any:
        if need not in self._remote:
            self._remote[need] = self._ray.remote(
                num_cpus=need.cpus,
                num_gpus=need.gpus,
                resources=dict(need.resources),
                max_retries=0,
                max_calls=0,  # a worker is kept, with GPUs too, for the sake of what it has imported
                runtime_env={"env_vars": _environment(self._options)},
            )(self._work)
        return self._remote[need]

    def _ready(self) -> list[Any]:
        refs = list(self._running)
        first, _ = self._ray.wait(refs, num_returns=1, timeout=POLL_SECONDS)
        return self._ray.wait(refs, num_returns=len(refs), timeout=0)[0] if first else []

    def _ended(self, cell: Cell, ref: Any) -> Outcome | None:
        """The ending of a cell; None where it was taken back, or has another turn."""
        errors = self._ray.exceptions
        try:
            ended: Ended = self._ray.get(ref)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            failed = DxbenchError(f"{cell}: the task of Ray failed: {error}")
            return self._queue.settle(Outcome(cell=cell, error=failed))
        except errors.RayError as error:
            taken_back = self._stopping and isinstance(error, errors.TaskCancelledError)
            return None if taken_back else self._died(cell, error)
        for call, arguments in ended.told:
            getattr(self._launch.listener, call)(cell, **arguments)
        if isinstance(ended.outcome.error, Interrupted) and not self._asked_to_stop():
            self._queue.put_back(cell)  # its worker had a SIGTERM from elsewhere
            return None
        return self._queue.settle(replace(ended.outcome, cell=cell))

    def _died(self, cell: Cell, error: Exception) -> Outcome | None:
        """A worker was killed, or its node is gone, or its answer was lost on the way."""
        reason = str(error).splitlines()[0].split(". ")[0]
        death = f"the worker of {cell} died, or its node ({type(error).__name__}: {reason})"
        if self._stopping:  # before it could save
            return self._queue.settle(Outcome(cell=cell, error=Interrupted(death)))
        if self._queue.again(cell):
            self._launch.listener.warned(cell, f"{death}; it is tried again")
            return None
        told = MachineFault(f"{death}; the same command goes on from its last checkpoint")
        return self._queue.settle(Outcome(cell=cell, error=told))

    def _asked_to_stop(self) -> bool:
        return self._stopping or self._launch.stop_requested() or Sweep(self._folder, ()).cancelled.exists()


def _everywhere(cell: Cell) -> Cell:
    """The cell by references that hold in whatever folder a worker is."""
    task, method = (whole(ref) if isinstance(ref, str) else ref for ref in (cell.task_ref, cell.method_ref))
    return replace(cell, task_ref=task, method_ref=method)


def _environment(options: RunOptions) -> dict[str, str]:
    """The environment that workers have to know; folders by their whole paths, which all nodes share."""
    modules = [str(Path(place).resolve()) for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    return {
        **{variable: str(place) for variable, place in options.places.items()},
        **({"PYTHONPATH": os.pathsep.join(modules)} if modules else {}),
    }


# --- there: in a worker of Ray ---------------------------------------------------------------------------------------


def run_there(cell: Cell, options: RunOptions, sweep: Path) -> Ended:
    """Run a cell in this worker, as the local launcher does. `ray.cancel` comes as a SIGINT would: the state is saved.

    Args:
        sweep: the folder of its sweep.
    """
    told, whole_sweep = _Told(), Sweep(sweep, (cell,))
    with StopSignals() as stop:
        launch = Launch(
            sweep=whole_sweep,
            waiting=[cell],
            seconds={},
            options=options,
            settings=LaunchSettings(retries=0),
            listener=told,
            stop_requested=Asked(stop.requested, whole_sweep.cancelled),
        )
        outcomes = list(LocalLauncher().run(launch))
    stopped = Outcome(cell=cell, error=Interrupted(f"{cell}: stopped before it began"))
    return Ended(outcome=outcomes[0] if outcomes else stopped, told=told.calls)


@dataclass
class _Told:
    """A listener that keeps what it is told, steps left out, for the one at home."""

    calls: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    def started(self, cell: Cell, *, total_steps: int, first_step: int) -> None:
        self.calls.append(("started", {"total_steps": total_steps, "first_step": first_step}))

    def stepped(self, cell: Cell, *, step: int, scalars: Mapping[str, float]) -> None:
        pass

    def phase(self, cell: Cell, text: str) -> None:
        pass

    def warned(self, cell: Cell, text: str) -> None:
        self.calls.append(("warned", {"text": text}))

    def interrupted(self, cell: Cell) -> None:
        self.calls.append(("interrupted", {}))

    def ended(self, cell: Cell, record: ResultRecord | None) -> None:
        self.calls.append(("ended", {"record": record}))
