"""The rows of a batch, spread over processes and micro-batches.

A batch size is that of the whole batch, whatever it is spread over. Every process draws all random numbers of a batch
from the same streams and works on its own rows; gradients and means are summed over processes. So training is the
same for one process and for several, for one pass over the batch and for several, but for the order of sums.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable

from torch import Tensor
from torch.amp import GradScaler


@runtime_checkable
class Parallel(Protocol):
    """A way to spread the work on a batch."""

    def rows(self, batch_size: int) -> slice:
        """This process's rows of a batch; those of all processes are the batch, each row once."""
        ...

    def micro_batches(self, num_rows: int) -> Sequence[slice]:
        """This process's rows 0 .. num_rows - 1, cut into those that fit into memory together."""
        ...

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replaces each tensor by its sum over processes. All processes call it in the same order."""
        ...

    def autocast(self) -> AbstractContextManager[object]:
        """The precision of networks, around their forward passes."""
        ...

    def scaler(self) -> GradScaler:
        """A new scale of losses, for one optimiser: in float16 small gradients would vanish. Passes through else."""
        ...


class OneProcess:
    """All rows at once, here, in the precision of the weights."""

    def rows(self, batch_size: int) -> slice:
        return slice(0, batch_size)

    def micro_batches(self, num_rows: int) -> Sequence[slice]:
        return (slice(0, num_rows),)

    def sum(self, tensors: Sequence[Tensor]) -> None:
        pass

    def autocast(self) -> AbstractContextManager[object]:
        return nullcontext()

    def scaler(self) -> GradScaler:
        return GradScaler("cpu", enabled=False)


ONE_PROCESS = OneProcess()
