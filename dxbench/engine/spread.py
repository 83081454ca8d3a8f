"""Spread a run over devices; the processes of one run find each other."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from dxbench.api import Method, Precision
from dxbench.errors import UsageError
from dxbench.plain import counted
from dxbench.plugins import registry


@dataclass(frozen=True, kw_only=True)
class ParallelSettings:
    """Settings of parallel work: what a batch is spread over, and the precision of networks.

    Attributes:
        devices: of each machine, with a process for each.
        machines: that torchrun or SLURM has started processes on.
        accumulate: micro-batches that a device takes one after the other.
        precision: 32, or bf16 or fp16 by autocast with weights, optimisers and losses in float32.
    """

    devices: int = 1
    machines: int = 1
    accumulate: int = 1
    precision: Precision = "32"

    @property
    def processes(self) -> int:
        """The number of processes of one run."""
        return self.devices * self.machines

    @property
    def plain(self) -> bool:
        """All rows at once in this process, in float32."""
        return self == ONE_DEVICE

    def __str__(self) -> str:
        """The options that differ from the default, as typed."""
        options = {"devices": self.devices, "accumulate": self.accumulate, "precision": self.precision}
        typed = [f"--{name} {value}" for name, value in options.items() if str(value) not in ("1", "32")]
        return " ".join([*typed, *([f"{self.machines} machines"] if self.machines > 1 else [])])


ONE_DEVICE = ParallelSettings()


@dataclass(frozen=True, kw_only=True)
class Rank:
    """A process of those that a launcher of ours has started for one run on this machine."""

    rank: int
    port: int

    def enter(self) -> None:
        """Say so in the environment, where Fabric looks for it."""
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(self.port), LOCAL_RANK=str(self.rank), NODE_RANK="0")


def check_support(methods: Iterable[type[Method]], spread: ParallelSettings) -> None:
    """Refuse what a method cannot do.

    Raises:
        UsageError: naming the method, and those that can.
    """
    for method in methods:
        if not spread.plain and not method.parallel:
            able = [name for name in sorted(registry.plugins("methods")) if registry.load_method(name).parallel]
            raise UsageError(
                f"{method.name} runs on one device, a whole batch at a time, in float32; it does not take {spread}. "
                f"Methods that do: {', '.join(able)}"
            )


@dataclass(frozen=True, kw_only=True)
class Outer:
    """Processes that torchrun or srun has started for one run, seen from one of them.

    Attributes:
        by: who started them.
        machines: on how many machines.
    """

    by: str
    rank: int
    processes: int
    machines: int


def outer() -> Outer | None:
    """The processes that run this command together; None where it runs alone.

    A job script that calls dxbench without srun runs alone, however many tasks its job has.
    """
    found = os.environ
    if found.get("TORCHELASTIC_RUN_ID"):
        processes = int(found.get("WORLD_SIZE") or 1)
        machines = processes // int(found.get("LOCAL_WORLD_SIZE") or processes)
        started = Outer(by="torchrun", rank=int(found.get("RANK") or 0), processes=processes, machines=machines)
    elif found.get("SLURM_STEP_NUM_TASKS"):
        started = Outer(
            by="srun",
            rank=int(found["SLURM_PROCID"]),
            processes=int(found["SLURM_STEP_NUM_TASKS"]),
            machines=int(found.get("SLURM_STEP_NUM_NODES") or 1),
        )
    else:
        return None
    return started if started.processes > 1 else None


def machines() -> int:
    """Machines that this command runs on."""
    started = outer()
    return 1 if started is None else started.machines


def outer_rank(spread: ParallelSettings) -> int | None:
    """This process's rank among those that torchrun or srun started for the run; None where nobody did.

    Raises:
        UsageError: if they are others than a process for each device, so that cells would be run more than once.
    """
    started = outer()
    if started is None:
        return None
    here, uneven = divmod(started.processes, started.machines)
    if uneven or here != spread.devices:
        advice = "start as many on each" if uneven else f"add --devices {here}, or start one on each"
        raise UsageError(
            f"{started.by} has started {counted(started.processes, 'process', 'processes')} on "
            f"{counted(started.machines, 'machine')} for one run, "
            f"which wants one for each device of a machine, and --devices is {spread.devices}; {advice}"
        )
    if started.by == "srun" and "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise UsageError(f"srun has started {started.processes} processes; say so by srun --ntasks-per-node={here}")
    return started.rank
