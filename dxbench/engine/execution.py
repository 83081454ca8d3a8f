"""Networks of images compiled by torch, where a compiler is at hand and the training is long enough to pay for it."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import nn

Compiling = Literal["auto", "always", "never"]
"""When networks of images are compiled."""

# Operations of a training that takes about ten minutes as written, of which compiling takes one or two and saves a
# third (docs/speed.md).
WORTH_COMPILING = {"cpu": 3e13, "cuda": 1e16}


class Compilation:
    """The networks of a run that may be compiled (`dxbench.api.Execution`).

    All or none are, from the second step on: the first one is executed as written and counted. The choice depends on
    nothing that another attempt on the same machine could find otherwise, and a resumed run keeps to it.

    Attributes:
        compiled: they are.
    """

    def __init__(self, asked: Compiling, *, device: str, tell: Callable[[str], None], warn: Callable[[str], None]):
        self.compiled = False
        self._asked, self._device, self._tell, self._warn = asked, device, tell, warn
        self._networks: list[nn.Module] = []

    def clear(self) -> None:
        """Begin anew, without networks."""
        self.compiled = False
        self._networks.clear()

    def prepare(self, net: nn.Module) -> None:
        self._networks.append(net)

    def pays(self, operations: float) -> bool:
        """True if a training of so many operations is to be compiled."""
        if not self._networks or self._asked == "never":
            return False
        return self._asked == "always" or operations >= WORTH_COMPILING.get(self._device, float("inf"))

    def begin(self) -> None:
        """Compile what was prepared, at its next passes; where torch cannot, say so and leave it as it is."""
        self._tell("compiling networks, which takes a minute or two (--compile never does without)")
        torch.compiler.reset()  # what an earlier run in this process has compiled
        if (reason := _unable(self._device)) is not None:
            self._warn(f"torch cannot compile networks here ({reason}); they are executed as they are")
            return
        for net in self._networks:
            net.compile(dynamic=False)
        self.compiled = True


def _unable(device: str) -> str | None:
    """The reason why torch cannot compile here, or None; a small function, forward and backward, tells."""
    x = torch.ones(8, device=device, requires_grad=True)
    try:
        torch.compile(lambda x: (x * x + 1).sum(), dynamic=False)(x).backward()
    except Exception as error:  # whatever compilers fail by
        return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:200]}"
    return None
