"""The floor and the ideal: fresh draws of the truth, scored as if a model had made them."""

from dxbench.api import Compute, Config, Method, Need, NoTraining, Problem, RandomStreams, Training


class DataConfig(Config):
    """Nothing to choose."""


class Data(Method):
    """Fresh draws of the true distribution: what a perfect model would score."""

    name = "data"
    version = 1
    family = "reference"
    reference = True
    Config = DataConfig
    needs = frozenset({Need.ORACLE})

    def start(self, problem: Problem, config: DataConfig, *, compute: Compute, rng: RandomStreams) -> Training:
        assert problem.oracle is not None  # the harness grants what `needs` lists
        return NoTraining(problem.oracle)
