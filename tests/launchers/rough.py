"""Methods that are rough with the process that runs them."""

import os
import random
import signal
from pathlib import Path

import numpy as np
import torch
from methods import Toy, ToyConfig, ToyTraining
from torch import Tensor

from dxbench.api import Compute, Problem, RandomStreams, Training


class RoughConfig(ToyConfig):
    """Where it leaves notes, and how often it dies."""

    place: str = ""
    deaths: int = 0


def note(folder: str, text: object) -> int:
    """Leave a note for the test; how many there are."""
    with (Path(folder) / "notes").open("a") as file:
        file.write(f"{text}\n")
    return len((Path(folder) / "notes").read_text().splitlines())


class Rude(Toy):
    """Leaves torch, NumPy and the environment otherwise than it found them."""

    name = "rude"
    Config = RoughConfig

    def start(self, problem: Problem, config: RoughConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        note(config.place, os.getpid())
        torch.manual_seed(12)
        np.random.seed(12)  # noqa: NPY002
        random.seed(12)
        torch.set_num_threads(2)
        torch.set_default_dtype(torch.float64)
        torch.set_float32_matmul_precision("medium")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = True
        os.environ["OMP_NUM_THREADS"] = "2"
        torch.set_grad_enabled(False)
        raise RuntimeError("left as it is")


class Large(Toy):
    """Takes 400 MB for a moment."""

    name = "large"
    Config = RoughConfig

    def start(self, problem: Problem, config: RoughConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        ring: list[object] = [torch.ones(100_000_000)]
        ring.append(ring)
        return ToyTraining(problem, config, rng)


class MortalTraining(ToyTraining):
    """Dies in its twentieth step."""

    def step(self) -> dict[str, float | Tensor]:
        assert isinstance(self.config, RoughConfig)
        if len(self.trace) == 20 and self.config.deaths and note(self.config.place, "died") <= self.config.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step()


class Mortal(Toy):
    """Is killed, so many times over all seeds."""

    name = "mortal"
    Config = RoughConfig
    training = MortalTraining


class Seer(Toy):
    """Notes which process it is in, and which CUDA devices that sees."""

    name = "seer"
    Config = RoughConfig

    def start(self, problem: Problem, config: RoughConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        note(config.place, f"{os.getpid()} {os.environ.get('CUDA_VISIBLE_DEVICES')}")
        return ToyTraining(problem, config, rng)
