"""How a run is spread over devices, and how the processes of one run find each other."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from dxbench import registry
from dxbench.api import Method, Precision
from dxbench.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Over what a batch is spread, and the precision of networks.

    Attributes:
        devices: of each machine, with a process for each.
        accumulate: micro-batches that a device takes one after the other.
        precision: 32, or bf16 by autocast with weights, optimisers and losses in float32.
    """

    devices: int = 1
    accumulate: int = 1
    precision: Precision = "32"

    @property
    def plain(self) -> bool:
        """All rows at once in this process, in float32."""
        return self == ONE_DEVICE

    def __str__(self) -> str:
        """The options that differ from the default, as typed."""
        options = {"devices": self.devices, "accumulate": self.accumulate, "precision": self.precision}
        return " ".join(f"--{name} {value}" for name, value in options.items() if str(value) not in ("1", "32"))


ONE_DEVICE = Spread()


@dataclass(frozen=True, kw_only=True)
class Place:
    """A process of those that a launcher of ours has started for one run on this machine."""

    rank: int
    port: int

    def enter(self) -> None:
        """Say so in the environment, where Fabric looks for it."""
        os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(self.port), LOCAL_RANK=str(self.rank), NODE_RANK="0")


def check_support(methods: Iterable[type[Method]], spread: Spread) -> None:
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


def outer_rank(spread: Spread) -> int | None:
    """This process's rank among those that torchrun or SLURM started for the run; None where nobody did.

    Raises:
        UsageError: if torchrun has started several processes and `spread` does not know it.
    """
    processes = int(os.environ.get("WORLD_SIZE") or 1) if os.environ.get("TORCHELASTIC_RUN_ID") else 1
    if spread.devices == 1:
        if processes > 1:
            local = os.environ.get("LOCAL_WORLD_SIZE", processes)
            raise UsageError(
                f"torchrun has started {processes} processes for a run on one device; add --devices {local}"
            )
        return None
    if processes > 1:
        return int(os.environ["RANK"])
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

    if SLURMEnvironment.detect() and int(os.environ["SLURM_NTASKS"]) > 1:
        return int(os.environ["SLURM_PROCID"])
    return None
