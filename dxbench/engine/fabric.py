"""Several devices and micro-batches by Lightning Fabric, precision by torch's autocast.

Fabric finds or makes the process group (its own processes, torchrun, SLURM) and chooses the device of each process. Its
own precision is left alone: on a CPU it takes bfloat16 for float16. Modules are not wrapped in DDP, which hooks into
`backward` of one module at a time: a step of DxMI takes the gradient of the policy through the value, and leaves the
value's own alone. Gradients are summed here instead, in one reduction per step and dtype.
"""

import logging
import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor
from torch.amp import GradScaler

from dxbench.engine.spread import ParallelSettings, Rank, outer
from dxbench.engine.workers import PeerLost
from dxbench.errors import UsageError

T = TypeVar("T")

CAST_TO = {"bf16": torch.bfloat16, "fp16": torch.float16}
# The other processes wait while the first one scores samples, which may take hours.
PATIENCE = timedelta(days=2)


class FabricWorkers:
    """The processes of one run, by Fabric; `parallel` is this same object."""

    def __init__(self, spread: ParallelSettings, *, device: str, place: Rank | None) -> None:
        self._spread = spread
        for name in ("lightning_fabric", "lightning_fabric.utilities.rank_zero"):
            logging.getLogger(name).setLevel(logging.WARNING)  # "Initializing distributed"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice on srun and on idle GPUs
            self._fabric = Fabric(
                accelerator=device,
                devices=spread.devices,
                num_nodes=spread.machines,
                strategy=DDPStrategy(timeout=PATIENCE) if spread.processes > 1 else "auto",
                plugins=_environment(place),
            )
            self._fabric.launch()

    @property
    def rank(self) -> int:
        return self._fabric.global_rank

    @property
    def count(self) -> int:
        return self._fabric.world_size

    @property
    def parallel(self) -> "FabricWorkers":
        return self

    # --- what methods ask --------------------------------------------------------------------------------------

    def rows(self, batch_size: int) -> slice:
        pieces = self.count * self._spread.accumulate
        if batch_size < pieces:
            raise UsageError(
                f"a batch of {batch_size} cannot be cut into {pieces} pieces ({self.count} devices, --accumulate "
                f"{self._spread.accumulate}); take fewer, or a larger batch_size"
            )
        return self.share(batch_size)

    def micro_batches(self, num_rows: int) -> Sequence[slice]:
        count = min(self._spread.accumulate, num_rows)
        return [_piece(num_rows, index, count) for index in range(count)]

    def sum(self, tensors: Sequence[Tensor]) -> None:
        if self.count == 1:
            return
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            same = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = self._reduced(torch.cat([tensor.reshape(-1) for tensor in same]), "sum")
            for tensor, total in zip(same, flat.split([tensor.numel() for tensor in same]), strict=True):
                tensor.copy_(total.view_as(tensor))

    def autocast(self) -> AbstractContextManager[object]:
        if self._spread.precision == "32":
            return nullcontext()
        # From a cache a weight cast without a graph, in a target or a rollout, would be taken where a graph is wanted.
        return torch.autocast(self._fabric.device.type, dtype=CAST_TO[self._spread.precision], cache_enabled=False)

    def scaler(self) -> GradScaler:
        return GradScaler(self._fabric.device.type, enabled=self._spread.precision == "fp16")

    # --- what the harness asks ---------------------------------------------------------------------------------

    def share(self, n: int) -> slice:
        return _piece(n, self.rank, self.count)

    def any(self, *flags: bool) -> list[bool]:
        raised = torch.tensor(flags, dtype=torch.float32, device=self._fabric.device)
        return [bool(flag) for flag in self._reduced(raised, "max").tolist()]

    def from_first(self, value: T) -> T:
        with _peers():
            return self._fabric.broadcast(value, src=0)

    def gather(self, rows: Tensor, *, of: int) -> Tensor:
        if self.count == 1:
            return rows
        sizes = [len(range(of)[_piece(of, rank, self.count)]) for rank in range(self.count)]
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        padded = padded.to(self._fabric.device)
        everyone = [torch.empty_like(padded) for _ in sizes]
        with _peers():
            torch.distributed.all_gather(everyone, padded)
        return torch.cat([part[:size] for part, size in zip(everyone, sizes, strict=True)]).to(rows.device)

    def _reduced(self, tensor: Tensor, operation: str) -> Tensor:
        with _peers():
            found: Any = self._fabric.all_reduce(tensor, reduce_op=operation)
        return found


def _piece(total: int, index: int, count: int) -> slice:
    """One of `count` pieces that differ by a row at most; of few rows the first piece has one."""
    return slice(-(-total * index // count), -(-total * (index + 1) // count))


def _environment(place: Rank | None) -> ClusterEnvironment | None:
    """The way that processes of a run find each other, as those who started them have it; Fabric would guess."""
    started = outer()
    if place is not None:
        return LightningEnvironment()
    if started is None:
        return None
    if started.by != "srun":
        return TorchElasticEnvironment()
    slurm = SLURMEnvironment(auto_requeue=False)
    _check_address(slurm.main_address)
    return slurm


def _check_address(first: str) -> None:
    """Refuse a first node that nobody can find, for which the others would look until their patience ends."""
    try:
        socket.getaddrinfo(first, None)
    except OSError as error:
        raise UsageError(
            f"the processes that srun has started meet at the first node of the job, and {first!r} has no address here "
            f"({error}); export MASTER_ADDR before srun, which `scontrol show node {first}` calls its NodeAddr"
        ) from None


@contextmanager
def _peers() -> Iterator[None]:
    """Errors of communication by their cause."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise PeerLost(f"another process of this run has ended ({str(error).splitlines()[0]})") from error
