"""A method whose training writes files of its own, to a place that may be full."""

from pathlib import Path

import numpy as np
import torch
from methods import Toy, ToyConfig, ToyTraining
from safetensors.torch import save_file
from torch import Tensor

from dxbench.api import Compute, Problem, RandomStreams, Training


class WriterConfig(ToyConfig):
    """Where it writes, by what, and on which seed alone; -1 is all."""

    place: str = ""
    way: str = "plain"
    only_seed: int = -1


class WriterTraining(ToyTraining):
    def step(self) -> dict[str, float | Tensor]:
        if len(self.trace) == 10 and self.config.place:
            self.write(Path(self.config.place) / "weights")
        return super().step()

    def write(self, path: Path) -> None:
        weights = torch.randn(100_000)
        match self.config.way:
            case "torch":
                torch.save({"weights": weights}, path)
            case "safetensors":
                save_file({"weights": weights}, path)
            case "numpy":
                with path.open("wb") as file:
                    np.save(file, weights.numpy())
            case "device":
                with Path("/dev/full").open("wb", buffering=0) as device:
                    device.write(b"x")
            case _:
                path.write_bytes(weights.numpy().tobytes())


class Writer(Toy):
    """Toy, with files of its own."""

    name = "writer"
    Config = WriterConfig

    def start(self, problem: Problem, config: WriterConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        if config.only_seed >= 0 and rng.seed("x") != RandomStreams("writer", "quick8", config.only_seed).seed("x"):
            config = config.model_copy(update={"place": ""})
        return WriterTraining(problem, config, rng)
