"""Cells as tasks of Ray, whose workers keep torch loaded from one cell to the next."""

import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from dxbench import paths
from dxbench.api import ResultRecord
from dxbench.engine.attempt import RunOptions
from dxbench.engine.launchers import local
from dxbench.engine.plan import Cell, measured
from dxbench.engine.provenance import command_line
from dxbench.engine.stopping import StopSignals
from dxbench.errors import DxbenchError, Interrupted, MachineFault, UsageError
from dxbench.launchers.contract import Launch, Outcome
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
    """What a task does, on whatever node it is; called by Ray."""

    def __call__(self, cell: Cell, options: RunOptions, cancelled: Path) -> "Ended": ...


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What comes back from a task.

    Attributes:
        told: the calls that the listener missed there, steps left out.
    """

    record: ResultRecord | None = None
    error: DxbenchError | None = None
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
    """What a cell takes of a node, and the device that it runs on there."""

    device: str
    cpus: float
    gpus: float
    resources: tuple[tuple[str, float], ...] = ()

    @property
    def amounts(self) -> Node:
        """By Ray's names."""
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
    """What a cell takes. With `--device auto`, GPUs are for tasks that want them where a node has one.

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


@dataclass(frozen=True)
class _Try:
    """A cell, and how often it has died before."""

    cell: Cell
    deaths: int = 0


class _Tasks:
    """The tasks of a launch. Ray places and runs them; whether a cell is tried again is decided here."""

    def __init__(self, ray: Any, launch: Launch, settings: RaySettings, work: Work) -> None:
        self._ray, self._launch = ray, launch
        self._settings, self._work = settings, work
        home, results = launch.options.home.resolve(), launch.options.results.resolve()
        self._options = replace(
            launch.options, home=home, results=results, command=launch.options.command or command_line()
        )
        self._cancelled = launch.sweep.cancelled.resolve()
        self._remote: dict[Need, Any] = {}
        self._running: dict[Any, _Try] = {}
        self._stopping = False
        self._nodes: list[Node] = []
        self._counted = -COUNT_EVERY
        starts = {cell.run_id for cell in launch.waiting if cell.part == "start"}
        self._held: dict[str, list[_Try]] = {start: [] for start in starts}
        self._waiting: deque[_Try] = deque()
        for cell in launch.waiting:
            self._held.get(cell.needs, self._waiting).append(_Try(cell))

    def outcomes(self) -> Iterator[Outcome]:
        """Outcomes as cells end."""
        while self._waiting or self._running:
            if not self._stopping and self._launch.stop_requested():
                self._stop()
            self._hand_out()
            for ref in self._ready():
                tried = self._running.pop(ref)
                outcome = self._ended(tried, ref)
                if outcome is not None:
                    self._release(tried.cell)
                    yield outcome

    def _asked_to_stop(self) -> bool:
        return self._stopping or self._launch.stop_requested() or self._cancelled.exists()

    def _stop(self) -> None:
        """Nothing more is handed out, and who is at a cell is told to save; what Ray has not begun is taken back."""
        self._stopping = True
        self._waiting.clear()
        for ref in self._running:
            self._ray.cancel(ref, force=False)

    def _hand_out(self) -> None:
        while self._waiting and len(self._running) < self._most():
            tried = self._waiting.popleft()
            need = needs_of(tried.cell, self._options, self._settings, self._nodes)
            options = replace(self._options, device=need.device)
            self._running[self._task(need).remote(_everywhere(tried.cell), options, self._cancelled)] = tried

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

    def _release(self, cell: Cell) -> None:
        """Let go of the cells that were to wait for this one."""
        if cell.part == "start":
            held = self._held.pop(cell.run_id, [])
            self._waiting.extend(held if not self._stopping else ())

    def _ended(self, tried: _Try, ref: Any) -> Outcome | None:
        """How a cell ended; None where it has not been begun, or is to be tried again."""
        errors, cell = self._ray.exceptions, tried.cell
        try:
            ended: Ended = self._ray.get(ref)
        except errors.TaskCancelledError as error:
            return None if self._stopping else self._died(tried, error)
        except (errors.RayTaskError, errors.RuntimeEnvSetupError) as error:
            return Outcome(cell=cell, error=DxbenchError(f"{_name(cell)}: the task of Ray failed: {error}"))
        except errors.RayError as error:
            return self._died(tried, error)
        for call, arguments in ended.told:
            getattr(self._launch.listener, call)(cell, **arguments)
        if isinstance(ended.error, Interrupted) and not self._asked_to_stop():
            self._waiting.append(tried)  # its node is being emptied
            return None
        return Outcome(cell=cell, record=ended.record, error=ended.error)

    def _died(self, tried: _Try, error: Exception) -> Outcome | None:
        """A worker was killed, or its node is gone, or its answer was lost on the way."""
        cell, reason = tried.cell, f"{type(error).__name__}: {str(error).splitlines()[0]}"
        if not self._options.fresh and (found := measured([cell], self._options.results)):
            return Outcome(cell=cell, record=found[cell.run_id])
        if self._stopping:
            return Outcome(cell=cell, error=Interrupted(f"{_name(cell)}: {reason}; the last checkpoint is kept"))
        if tried.deaths < self._launch.settings.retries:
            again = f"tried again, {tried.deaths + 1} of {self._launch.settings.retries}"
            self._launch.listener.warned(cell, f"its worker or node died ({reason}); {again}")
            self._waiting.append(_Try(cell, tried.deaths + 1))
            return None
        times = f"{tried.deaths + 1} times" if tried.deaths else "once"
        return Outcome(
            cell=cell,
            error=MachineFault(
                f"{_name(cell)}: its worker or node died {times} ({reason}); the same command goes on from its last "
                "checkpoint"
            ),
        )


def _name(cell: Cell) -> str:
    return f"{cell.method} on {cell.task}, seed {cell.seed}"


def _everywhere(cell: Cell) -> Cell:
    """The cell by references that hold in whatever folder a worker is."""
    task, method = (whole(ref) if isinstance(ref, str) else ref for ref in (cell.task_ref, cell.method_ref))
    return replace(cell, task_ref=task, method_ref=method)


def _environment(options: RunOptions) -> dict[str, str]:
    """What workers have to know of this process's environment; folders by their whole paths, which all nodes share."""
    places = {
        "DXBENCH_HOME": options.home,
        "DXBENCH_RESULTS": options.results,
        "DXBENCH_DATA": paths.data(),
        "DXBENCH_CACHE": paths.cache(),
    }
    modules = [str(Path(place).resolve()) for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    return {
        **{name: str(place.resolve()) for name, place in places.items()},
        **({"PYTHONPATH": os.pathsep.join(modules)} if modules else {}),
    }


# --- there: in a worker of Ray ---------------------------------------------------------------------------------------


def run_there(cell: Cell, options: RunOptions, cancelled: Path) -> Ended:
    """Run a cell in this worker of Ray. `ray.cancel` comes as a SIGINT would, and has the state saved."""
    told = _Told()
    with StopSignals() as stop:
        asked = Asked(stop.requested, cancelled)
        for outcome in local([cell], options, jobs=1, listener=told, stop_requested=asked):
            return Ended(record=outcome.record, error=outcome.error, told=told.calls)
    return Ended(error=Interrupted(f"{_name(cell)}: stopped before it began"))


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
