"""Methods that do not come to a record."""

import os
import signal

from methods import Toy, ToyTraining
from torch import Tensor


class KilledTraining(ToyTraining):
    def step(self) -> dict[str, float | Tensor]:
        os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


class Killed(Toy):
    """Its process is killed whenever it takes a step, as by a system that is out of memory."""

    name = "killed"
    training = KilledTraining
