"""A network as that of other steps or units: of a long chain as of a shorter one, of scaled points as of points."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dxmi.arrays import PerStep, Points, StepIndex, per_sample


class AtSteps(nn.Module):
    """A net of fractional steps, or of noise levels, as one of step indices: net(x, steps[k]), and what it is given."""

    steps: Tensor

    def __init__(self, net: nn.Module, steps: PerStep) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("steps", steps.float(), persistent=False)

    def forward(self, x: Points, k: StepIndex, *given: Tensor) -> Points:
        return self.net(x, self.steps[k], *given)


class Strided(nn.Module):
    """A net of a long chain as the net of the shorter one that visits only `steps` of it."""

    steps: Tensor

    def __init__(self, net: nn.Module, steps: Sequence[int]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("steps", torch.tensor(list(steps)), persistent=False)

    def forward(self, x: Points, k: StepIndex) -> Tensor:
        return self.net(x, self.steps[k])


class InUnits(nn.Module):
    """A net of (x, k) that is asked at x times a factor of each step."""

    factors: Tensor

    def __init__(self, net: nn.Module, factors: PerStep) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("factors", factors.float(), persistent=False)

    def forward(self, x: Points, k: StepIndex, *given: Tensor) -> Tensor:
        return self.net(x * per_sample(self.factors[k], x), k, *given)
